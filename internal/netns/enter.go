package netns

import (
	"fmt"
	"runtime"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Do runs fn in the network namespace at path. fn must not start goroutines that are
// meant to be in it, too: sockets and files that it opens are what it can hand out.
// NotFound when path is no network namespace.
func Do(path string, fn func() error) error {
	if !IsNamespace(path) {
		return fmt.Errorf("network namespace %s does not exist: %w", path, errdefs.ErrNotFound)
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		restored := false
		defer func() {
			// A thread that is not back where it was ends with this goroutine.
			if restored {
				runtime.UnlockOSThread()
			}
		}()
		done <- func() error {
			if unix.Gettid() == unix.Getpid() {
				// The main thread cannot be thrown away, so it is not risked.
				restored = true
				return onThrowawayThread(func() error { return enterAnd(path, fn) })
			}
			home, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err != nil {
				return fmt.Errorf("open own network namespace: %w", err)
			}
			defer unix.Close(home)
			err = enterAnd(path, fn)
			restored = unix.Setns(home, unix.CLONE_NEWNET) == nil
			return err
		}()
	}()
	return <-done
}

func enterAnd(path string, fn func() error) error {
	if err := enter(path, unix.CLONE_NEWNET); err != nil {
		return err
	}
	return guarded(fn)
}

// Scratch runs fn with the path of an empty network namespace, which ends with the call. It
// stands in for a pod's namespace that is gone, where something insists on being given one.
func Scratch(fn func(path string) error) error {
	ready, finish := make(chan string, 1), make(chan struct{})
	failed := make(chan error, 1)
	go func() {
		failed <- onThrowawayThread(func() error {
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				return exhausted(fmt.Errorf("make a scratch network namespace: %w", err))
			}
			ready <- fmt.Sprintf("/proc/%d/task/%d/ns/net", unix.Getpid(), unix.Gettid())
			<-finish
			return nil
		})
	}()
	select {
	case err := <-failed:
		return err
	case path := <-ready:
		defer func() { close(finish); <-failed }()
		return fn(path)
	}
}
