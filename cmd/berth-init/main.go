// Go's runtime would read the cgroup of the process at the start and every second.
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

// Command berth-init is the init process of pods whose containers share a PID namespace: it holds
// the namespace and reaps what is orphaned in it. SIGKILL from outside of the namespace ends it, and
// with it the namespace. It opens no files, writes nothing and takes no arguments.
//
// Every container of the pod sees it and may send it signals, so it is made worth nothing to them:
// it gives away nothing of its memory or its files, and no signal from inside ends it. What it
// may do at all, its OCI spec says (container/ocispec, PodProcess).
package main

import (
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

func main() {
	// Not dumpable: the kernel then gives its memory, environment, root and descriptors only to
	// processes with CAP_SYS_PTRACE in the user namespace where the program was started.
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_DUMPABLE, 0, 0)
	// A few kilobytes are allocated, all of them here: collecting would only wake up.
	debug.SetGCPercent(-1)
	// All signals: one that nobody asked for would make Go's runtime end the process, and with it
	// the pod. Nobody reads them, since their sender may be any container of the pod.
	signal.Notify(make(chan os.Signal, 1))
	// A channel of its own, so that a flood of other signals cannot push this one out.
	children := make(chan os.Signal, 1)
	signal.Notify(children, syscall.SIGCHLD)
	// Children that ended before Notify have sent a signal that nobody got.
	reap()
	for range children {
		reap()
	}
}

// reap collects every child that has ended; several may have sent one signal.
func reap() {
	for {
		pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
	}
}
