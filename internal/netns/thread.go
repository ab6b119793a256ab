package netns

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// onThrowawayThread runs fn on an OS thread that ends with it, so that fn may leave the
// thread in any namespace and under any identity. Threads that the Go runtime starts meanwhile
// are not cloned from it (it takes a clean template when the current one is locked).
func onThrowawayThread(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		// No unlock: the runtime ends a thread whose goroutine ends while locked.
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The main thread never ends, and /proc/<pid>/ns shows its namespaces. Hold it
			// here while the work runs on another one, then give it back untouched.
			done <- onThrowawayThread(fn)
			runtime.UnlockOSThread()
			return
		}
		done <- guarded(fn)
	}()
	return <-done
}

// guarded turns a panic into an error: on a goroutine of our own it would end the daemon.
func guarded(fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic inside a namespace: %v", p)
		}
	}()
	return fn()
}
