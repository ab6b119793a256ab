package ociruntime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

const (
	stateFile = "state.json"
	execFIFO  = "exec.fifo"
)

// initTimeout bounds the wait for an init that has nothing to do any more but to execute the user's program.
const initTimeout = 30 * time.Second

// isRunc reports whether the state of the container is runc's.
func (r *Runtime) isRunc() bool {
	var st unix.Stat_t
	return unix.Stat(filepath.Join(r.Root, r.ID, stateFile), &st) == nil
}

// Start lets the created container's init go on to the user's program. dead is closed when init has
// ended.
//
// runc's init waits for a reader of exec.fifo in the container's state directory, writes one byte
// into it and executes the program. `runc start` reads that byte and removes the FIFO; so does this.
func (r *Runtime) Start(ctx context.Context, dead <-chan struct{}) error {
	path := filepath.Join(r.Root, r.ID, execFIFO)
	if !r.isRunc() {
		return r.run(ctx, "start", []string{"start", r.ID}, nil, nil, nil)
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err == unix.ENOENT {
		return fmt.Errorf("OCI runtime start failed: the container has been started already: %w", errdefs.ErrFailedPrecondition)
	}
	if err != nil {
		return fmt.Errorf("OCI runtime start failed: open %s: %w", path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	ctx, cancel := context.WithTimeout(ctx, initTimeout)
	defer cancel()
	if err := awaitByte(ctx, f, dead); err != nil {
		return fmt.Errorf("OCI runtime start failed: %w", err)
	}
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("OCI runtime start failed: %w", err)
	}
	return nil
}

// awaitByte waits until init has written, or is dead without that.
func awaitByte(ctx context.Context, f *os.File, dead <-chan struct{}) error {
	rc, err := f.SyscallConn()
	if err != nil {
		return err
	}
	over := make(chan struct{})
	defer close(over)
	go func() {
		select {
		case <-dead:
		case <-ctx.Done():
		case <-over:
			return
		}
		_ = f.SetReadDeadline(time.Now())
	}()
	err = rc.Read(func(fd uintptr) bool { return readByte(int(fd)) })
	if err == nil {
		return nil
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	// It may have written, run and ended meanwhile.
	written := false
	_ = rc.Control(func(fd uintptr) { written = readByte(int(fd)) })
	switch {
	case written:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("the container's init does not go on: %w", ctx.Err())
	}
	return errors.New("container process is already dead")
}

// readByte reports whether there was something to read. Without a writer, as before init has opened
// the FIFO, a read finds the end of the file.
func readByte(fd int) bool {
	var b [1]byte
	for {
		n, err := syscall.Read(fd, b[:])
		if err != syscall.EINTR {
			return n > 0
		}
	}
}
