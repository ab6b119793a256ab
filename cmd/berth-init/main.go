// Command berth-init is the init process of pods whose containers share a PID namespace: it holds
// the namespace, reaps what is orphaned in it, and ends at SIGTERM or SIGINT, which ends the
// namespace. It opens no files, writes nothing and takes no arguments.
package main

import (
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

func main() {
	// A few kilobytes are allocated, all of them here: collecting would only wake up.
	debug.SetGCPercent(-1)
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGCHLD, syscall.SIGTERM, syscall.SIGINT)
	// Children that ended before Notify have sent a signal that nobody got.
	reap()
	for s := range signals {
		if s != syscall.SIGCHLD {
			return
		}
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
