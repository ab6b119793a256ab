package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/berth-run/berth/config"
)

// acquire makes root and state, locks both against a second daemon and writes
// the pid file. The locks go with the process, however it ends.
func acquire(p config.Paths) (release func(), err error) {
	var files []*os.File
	unlock := func() {
		for _, f := range files {
			f.Close()
		}
	}
	defer func() {
		if err != nil {
			unlock()
		}
	}()
	for _, d := range []struct{ dir, lock string }{{p.Root, p.RootLockFile()}, {p.State, p.LockFile()}} {
		// Others may pass through: processes of a pod with a user namespace reach
		// their files below. Nobody but root may list.
		if err := os.MkdirAll(d.dir, 0o711); err != nil {
			return nil, fmt.Errorf("making berthd's directories: %w", err)
		}
		f, err := lock(d.lock, d.dir, p)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	pid := strconv.Itoa(os.Getpid()) + "\n"
	if err := os.WriteFile(p.PIDFile(), []byte(pid), 0o644); err != nil {
		return nil, fmt.Errorf("writing the pid file: %w", err)
	}
	return func() {
		_ = os.Remove(p.PIDFile()) // it says nothing once the lock is free
		unlock()
	}, nil
}

const (
	// lockTimeout is how long a lock may outlive its owner: a child that a berthd was
	// forking when it was killed holds the locks until it executes its program.
	lockTimeout = 2 * time.Second
	lockPause   = 20 * time.Millisecond
)

// ownerAlive reports whether the process of the pid file runs.
func ownerAlive(p config.Paths) bool {
	text, err := os.ReadFile(p.PIDFile())
	if err != nil {
		return false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	return err == nil && pid > 0 && unix.Kill(pid, 0) == nil
}

func lock(name, dir string, p config.Paths) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking %s: %w", dir, err)
	}
	for deadline := time.Now().Add(lockTimeout); ; time.Sleep(lockPause) {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if time.Now().After(deadline) || ownerAlive(p) {
			break
		}
	}
	f.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		owner := "another berthd"
		if pid, err := os.ReadFile(p.PIDFile()); err == nil {
			owner += " (pid " + strings.TrimSpace(string(pid)) + ")"
		}
		return nil, fmt.Errorf("%s uses %s already; stop it, or give this one its own --root and --state: %w",
			owner, dir, errdefs.ErrFailedPrecondition)
	}
	return nil, fmt.Errorf("locking %s: %w", dir, err)
}
