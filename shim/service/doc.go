// Package service is the inside of berth-shim: containerd's own task service for runc, wrapped so
// that what must survive the daemon lives here.
//
//	containerd ──Task API, TTRPC──▶ Service ──▶ containerd's task service ──▶ runc
//	berthd ────control socket─────▶ control ─┬▶ container: record, log, attach clients
//	                                         └▶ registry: watchers
//
// A container whose stdout string is a berth:// URI (shim.IOConfig) gets pipes that this process
// reads: whatever arrives goes to the CRI log file and to every attached client. Other containers,
// and all execs, pass through as they are.
//
// How a pipe gets to the container: the task service runs `runc create` through the process monitor
// of containerd/go-runc, whose commands monitor wraps to put the pipes in place. So container output
// is copied once, not twice as with a FIFO between.
//
// When a container's init ends, exit (see exit.go) reads the OOM counter of its cgroup, drains the
// log within a bound, writes the record and tells watchers, in this order; the Task API's Wait and
// Delete return after that.
//
// # OOMKilled
//
// containerd's CRI plugin reports OOMKilled when the kernel killed any process of the container's
// memory cgroup, whatever the exit code. Here the container must also have failed: one that lost a
// helper process and then completed with code 0 is Completed. Record.OOMKills has the bare counter.
package service
