// Package shim is berthd's side of berth-shim, the one process that stays with each pod.
//
// What must survive the daemon lives in the shim: writing the CRI log files, attach fan-out and the
// exit records. The package holds what both sides agree on (IOConfig, Record, the control protocol),
// the launcher (Launch, Find) and the client of the control socket (Dial). The server side is in
// shim/service.
//
// A pod's shim listens on two unix sockets which berthd creates and the shim inherits:
//
//	<state>/s/<first 32 of pod ID>.task   containerd's Task API over TTRPC, for containerd
//	<state>/s/<first 32 of pod ID>.ctl    Berth's control protocol, for berthd
//
// Tasks are created through containerd as usual, with
//
//	created.NewTask(ctx, ioConfig.Creator(), containerd.WithTaskAPIEndpoint(proc.TaskEndpoint(), shim.TaskAPIVersion))
//
// and the log configuration travels to the shim inside the task's stdout string.
package shim
