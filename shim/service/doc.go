// Package service is the inside of berth-shim: it serves containerd's Task API for the containers of
// one pod and keeps here what must survive the daemon.
//
//	containerd ──Task API, TTRPC──▶ Service ─┬▶ container: init, streams, log, attach clients, record
//	                                         └▶ execution: a process added by exec
//	berthd ────control socket─────▶ control ──▶ the same containers, and registry: watchers
//
// A container whose stdout string is a berth:// URI (api.IOConfig) gets pipes that this process
// reads: whatever arrives goes to the CRI log file and to every attached client. The container has
// the pipes themselves as its streams, and its terminal is read here, so output is copied once. Execs,
// and containers of other clients, have the client's FIFOs themselves as their streams.
//
// When a container's init ends, awaitExit reads the OOM counter of its cgroup, drains the
// log within a bound, writes the record and tells watchers, in this order; the Task API's Wait and
// Delete return after that.
//
// # Why not containerd's task service
//
// berth-shim began as a wrapper around the one of containerd-shim-runc-v2. With one container that
// had 2.8 MiB of memory to itself, of which the Go runtime needs 0.8 and the packages linked in took
// the rest (protobuf's registry alone 0.7), and it ran runc for starting and deleting, which for the parent of
// the container are a read from a FIFO and some rmdir (see package ociruntime). This one has 1.0 MiB.
// There is one a pod, so it counts. What containerd and runc see is the same; the tests compare the
// messages with containerd's and run against a real containerd. Not served: checkpoint and restore.
// Stats carries the main figures only, berthd reads cgroups itself.
//
// # OOMKilled
//
// containerd's CRI plugin reports OOMKilled when the kernel killed any process of the container's
// memory cgroup, whatever the exit code. Here the container must also have failed: one that lost a
// helper process and then completed with code 0 is Completed. Record.OOMKills has the bare counter.
package service
