// Package sandbox runs pod sandboxes: the pinned namespaces, network, files,
// cgroup and shim that the containers of a pod share.
//
// A pod has no pause process. What makes it up is described once, in plan.go, as
// a list of steps with their undo. RunPodSandbox does them, StopPodSandbox undoes
// those that run something, RemovePodSandbox undoes all, and start-up recovery
// undoes what a killed daemon left half-made; all need nothing but the record.
//
// The record is containerd's sandbox record with an extension ([Record]). It is
// written before the first effect and deleted after the last one is gone. Where a
// CNI DEL does not succeed, the pod is gone for the client, its record stays as a
// tombstone and the DEL is retried in the background, across restarts.
//
// Reads (List, Status) answer from memory.
package sandbox
