package service

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/berth-run/berth/shim/api"
	"github.com/berth-run/berth/shim/ttrpc"
	"golang.org/x/sys/unix"
)

const (
	// gcPercent keeps the heap of a process that is many times on a node small.
	gcPercent = 40
	// settleAfter is how long after the last call the shim gives unused memory back.
	settleAfter = 10 * time.Second
)

// Options of a pod's shim.
type Options struct {
	// Namespace is containerd's, PodID the sandbox's ID; an ordinary shim has none.
	Namespace string
	PodID     string
	// TTRPCAddress is where task events are published; empty: nowhere.
	TTRPCAddress string
	// Build is the version of the binary, for shim.Status.
	Build string
	// Debug makes it log more.
	Debug bool
}

// Serve serves the listeners that shim.Launch handed down, until the control socket's shutdown.
// Without a PodID it serves the Task API only, and ends with its last container: an ordinary shim.
func Serve(ctx context.Context, o Options) error {
	debug.SetGCPercent(gcPercent)
	shimLog.debug.Store(o.Debug)
	taskListener, err := inherited(api.TaskFD)
	if err != nil {
		return err
	}
	defer taskListener.Close()
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become subreaper: %w", err)
	}
	signals := catchSignals()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	events := newPublisher(ctx, o.Namespace, o.TTRPCAddress)
	defer events.flush()
	svc := newService(ctx, o, events, cancel)
	if o.PodID != "" {
		controlListener, err := inherited(api.ControlFD)
		if err != nil {
			return err
		}
		defer controlListener.Close()
		go newControl(svc, o.PodID, o.Build).serve(controlListener)
	}
	server := &ttrpc.Server{Handle: settle(svc.Handle), Admit: checkPeer}
	failed := make(chan error, 1)
	go func() {
		if err := server.Serve(ctx, taskListener); err != nil && ctx.Err() == nil {
			failed <- fmt.Errorf("serve the task API: %w", err)
		}
	}()
	return svc.reap(signals, failed)
}

// settle frees memory some time after a burst of calls. It does so once: an idle shim does not wake
// up.
func settle(handle func(context.Context, *ttrpc.Request) ([]byte, error)) func(context.Context, *ttrpc.Request) ([]byte, error) {
	timer := time.AfterFunc(settleAfter, debug.FreeOSMemory)
	return func(ctx context.Context, q *ttrpc.Request) ([]byte, error) {
		defer timer.Reset(settleAfter)
		return handle(ctx, q)
	}
}

// inherited is the listening socket at fd.
func inherited(fd uintptr) (*net.UnixListener, error) {
	f := os.NewFile(fd, "listener")
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("inherited socket %d: %w", fd, err)
	}
	u, ok := l.(*net.UnixListener)
	if !ok {
		l.Close()
		return nil, fmt.Errorf("inherited socket %d is a %s, want a unix socket", fd, l.Addr().Network())
	}
	u.SetUnlinkOnClose(false)
	return u, nil
}

// catchSignals returns the signals that matter. The others that would end the process are caught
// and dropped rather than ignored: ignored ones would stay so in every container.
func catchSignals() chan os.Signal {
	ch := make(chan os.Signal, 32)
	signal.Notify(ch, syscall.SIGCHLD, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGPIPE, syscall.SIGUSR1)
	return ch
}

// dumpStacks writes the stacks of all goroutines to the shim's log, as containerd's shims do.
func dumpStacks() {
	buf := make([]byte, maxShimLog/4)
	logf("stacks of all goroutines:\n%s", buf[:runtime.Stack(buf, true)])
}

// reap reaps children until the shim is shut down or serving failed.
func (s *Service) reap(signals <-chan os.Signal, failed <-chan error) error {
	for {
		select {
		case <-s.ctx.Done():
			return nil
		case err := <-failed:
			return err
		case sig := <-signals:
			switch sig {
			case syscall.SIGCHLD:
				if err := s.reaper.Reap(); err != nil {
					logf("cannot reap: %v", err)
				}
			case syscall.SIGUSR1:
				dumpStacks()
			}
		}
	}
}
