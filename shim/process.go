package shim

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// stopTimeout bounds how long Stop waits for a shim that was asked to shut down.
const stopTimeout = 5 * time.Second

// Process is a running (or ended) shim process. It is told apart from a recycled PID by its start
// time and held by a pidfd.
type Process struct {
	info    info
	observe Observer
	// exited is closed when the process has ended.
	exited chan struct{}

	mu    sync.Mutex
	pidfd *os.File // nil once the process has ended
}

// newProcess opens a pidfd for the process of i and begins to wait for its end, by reap when the
// process is our child. errdefs.ErrNotFound: it has ended already.
func newProcess(i info, reap func()) (*Process, error) {
	fd, err := unix.PidfdOpen(i.PID, unix.PIDFD_NONBLOCK)
	if err == nil {
		// The pidfd now holds one process; is it the one that was started?
		if state, start, serr := procStat(i.PID); serr != nil || start != i.StartTime || state == 'Z' {
			unix.Close(fd)
			err = unix.ESRCH
		}
	}
	if err != nil {
		if reap != nil {
			go reap()
		}
		if errors.Is(err, unix.ESRCH) {
			err = errdefs.ErrNotFound
		}
		return nil, fmt.Errorf("shim of pod %s (pid %d): %w", i.PodID, i.PID, err)
	}
	p := &Process{info: i, exited: make(chan struct{}), pidfd: os.NewFile(uintptr(fd), "pidfd")}
	go p.watch(reap)
	return p, nil
}

// watch closes exited when the pidfd becomes readable. The runtime's poller does the waiting.
func (p *Process) watch(reap func()) {
	if rc, err := p.pidfd.SyscallConn(); err == nil {
		_ = rc.Read(func(fd uintptr) bool {
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
			return n > 0 || (err != nil && err != unix.EINTR)
		})
	}
	if reap != nil {
		reap()
	}
	p.mu.Lock()
	p.pidfd.Close()
	p.pidfd = nil
	p.mu.Unlock()
	close(p.exited)
}

// PID of the shim.
func (p *Process) PID() int { return p.info.PID }

// PodID is the pod that the shim serves.
func (p *Process) PodID() string { return p.info.PodID }

// Binary is the path of the executable the shim was started from.
func (p *Process) Binary() string { return p.info.Binary }

// TaskEndpoint is the address for containerd.WithTaskAPIEndpoint, "ttrpc+unix://<path>".
func (p *Process) TaskEndpoint() string { return "ttrpc+unix://" + p.info.Task }

// ControlPath is the path of the control socket, for Dial.
func (p *Process) ControlPath() string { return p.info.Control }

// Client is a client of the shim's control socket.
func (p *Process) Client() *Client {
	return &Client{path: p.info.Control, observe: p.observe}
}

// Observe tells o about the calls of all clients from now on; nil tells nobody. It is
// to be called before the Process is shared.
func (p *Process) Observe(o Observer) { p.observe = o }

// Exited is closed when the process has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Alive reports whether the process exists and is not a zombie.
func (p *Process) Alive() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// Kill sends SIGKILL and waits until the process is gone or ctx is done. A dead shim is no error.
func (p *Process) Kill(ctx context.Context) error {
	if err := p.signal(unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("shim of pod %s (pid %d): kill: %w", p.info.PodID, p.info.PID, err)
	}
	return p.Wait(ctx)
}

func (p *Process) signal(sig unix.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pidfd == nil {
		return unix.ESRCH
	}
	rc, err := p.pidfd.SyscallConn()
	if err != nil {
		return err
	}
	var serr error
	// Not File.Fd: that would take the pidfd from the poller.
	if err := rc.Control(func(fd uintptr) { serr = unix.PidfdSendSignal(int(fd), sig, nil, 0) }); err != nil {
		return err
	}
	return serr
}

// Wait returns when the process has ended (nil) or ctx is done.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.exited:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("shim of pod %s (pid %d): wait for its end: %w", p.info.PodID, p.info.PID, context.Cause(ctx))
	}
}

// Stop asks the shim to shut down (see Client.Shutdown), waits for its end, and kills it when it does
// not answer within a bound or ctx. Its sockets and shim.json are removed. A shim that refuses
// because it has tasks is left running: errdefs.ErrFailedPrecondition.
func (p *Process) Stop(ctx context.Context, force bool) error {
	sctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	err := p.Client().Shutdown(sctx, force)
	if errdefs.IsFailedPrecondition(err) {
		return err
	}
	if err == nil {
		err = p.Wait(sctx)
	}
	if err != nil {
		// A killed shim may still need a moment, also when the caller has none left.
		kctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		if err := p.Kill(kctx); err != nil {
			return err
		}
	}
	return Cleanup(p.info.StateDir, p.info.PodID)
}
