// Package container runs the containers of pods: it makes their records and
// snapshots, starts and stops them, follows their exits, runs commands in them
// and connects to their streams.
//
// The record is containerd's container record with an extension ([Record]); it
// is written before the first effect and deleted after the last one is gone.
// What a container is made of is listed once, in plan.go.
//
// Logs, attach and exit records belong to the pod's shim (package shim), which
// survives the daemon. This package follows what the shim reports: an exit
// changes the state in memory at once, then the record, then the task goes.
// Handlers with a foreign shim are served by foreign.go.
//
// Reads (List, Status) answer from memory.
package container
