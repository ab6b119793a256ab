package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/berth-run/berth/shim"
	"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/task"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	cshim "github.com/containerd/containerd/v2/pkg/shim"
	"github.com/containerd/containerd/v2/pkg/shutdown"
	"github.com/containerd/containerd/v2/pkg/sys/reaper"
	runc "github.com/containerd/go-runc"
	"github.com/containerd/log"
	"github.com/containerd/ttrpc"
)

const (
	// gcPercent keeps the heap of a process that is many times on a node small.
	gcPercent = 40
	// settleAfter is how long after the last call the shim gives unused memory back.
	settleAfter = 10 * time.Second
	// shutdownTimeout bounds what has to be finished before the shim exits.
	shutdownTimeout = 5 * time.Second
)

// Options of a pod's shim.
type Options struct {
	// Namespace is containerd's, PodID the sandbox's ID.
	Namespace string
	PodID     string
	// TTRPCAddress is where task events are published; empty: nowhere.
	TTRPCAddress string
	// Build is the version of the binary, for shim.Status.
	Build string
	// Debug makes it log more.
	Debug bool
}

// Serve serves a pod on the listeners that shim.Launch handed down, until the control socket's
// shutdown. It does itself what containerd's shim.RunShim does around a task service, because that
// ends at SIGTERM, with its containers running, and frees memory every 30 seconds, which on a node
// full of pods is never idle.
func Serve(ctx context.Context, o Options) error {
	debug.SetGCPercent(gcPercent)
	setupLog(o)
	taskListener, err := inherited(shim.TaskFD)
	if err != nil {
		return err
	}
	controlListener, err := inherited(shim.ControlFD)
	if err != nil {
		return err
	}
	if err := reaper.SetSubreaper(1); err != nil {
		return fmt.Errorf("become subreaper: %w", err)
	}
	signals := catchSignals()
	ctx = namespaces.WithNamespace(ctx, o.Namespace)
	ctx, sd := shutdown.WithShutdown(ctx)
	defer sd.Shutdown()

	svc, err := newPodService(ctx, o, sd)
	if err != nil {
		return err
	}
	server, err := ttrpc.NewServer(ttrpc.WithServerHandshaker(ttrpc.UnixSocketRequireSameUser()),
		ttrpc.WithUnaryServerInterceptor(settle()))
	if err != nil {
		return err
	}
	if err := svc.RegisterTTRPC(server); err != nil {
		return err
	}
	failed := make(chan error, 1)
	go func() {
		if err := server.Serve(ctx, taskListener); err != nil && ctx.Err() == nil {
			failed <- fmt.Errorf("serve the task API: %w", err)
		}
	}()
	go newControl(svc, o.PodID, o.Build).serve(controlListener)
	err = reap(ctx, signals, failed)
	taskListener.Close()
	controlListener.Close()
	sd.Shutdown()
	select {
	case <-sd.Done():
	case <-time.After(shutdownTimeout):
		err = errors.Join(err, errors.New("shutdown did not finish in time"))
	}
	return err
}

// settle returns an interceptor that, some time after a burst of calls, frees memory and what
// finalizers hold (os/exec's pidfds). It does so once: an idle shim does not wake up.
func settle() ttrpc.UnaryServerInterceptor {
	timer := time.AfterFunc(settleAfter, debug.FreeOSMemory)
	return func(ctx context.Context, um ttrpc.Unmarshaler, _ *ttrpc.UnaryServerInfo, method ttrpc.Method) (any, error) {
		defer timer.Reset(settleAfter)
		return method(ctx, um)
	}
}

// newPodService makes containerd's task service and wraps it.
func newPodService(ctx context.Context, o Options, sd shutdown.Service) (*Service, error) {
	pub, err := newPublisher(o.Namespace, o.TTRPCAddress)
	if err != nil {
		return nil, fmt.Errorf("publish to %s: %w", o.TTRPCAddress, err)
	}
	svc, err := wrap(ctx, pub, sd, true)
	if err != nil {
		return nil, err
	}
	pub.onOOM = func(id string) {
		if c := svc.container(id); c != nil {
			c.noteOOM()
		}
	}
	return svc, nil
}

// wrap makes containerd's task service and puts Service around it.
func wrap(ctx context.Context, pub cshim.Publisher, sd shutdown.Service, pinned bool) (*Service, error) {
	inner, err := task.NewTaskService(ctx, pub, sd)
	if err != nil {
		return nil, fmt.Errorf("make the task service: %w", err)
	}
	// The task service has just made the reaper go-runc's monitor.
	m := newMonitor(runc.Monitor)
	runc.Monitor = m
	return newService(ctx, inner, m, sd, pinned), nil
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
	log.L.Warnf("stacks of all goroutines:\n%s", buf[:runtime.Stack(buf, true)])
}

// reap reaps children until the shim is shut down or serving failed.
func reap(ctx context.Context, signals <-chan os.Signal, failed <-chan error) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return err
		case s := <-signals:
			switch s {
			case syscall.SIGCHLD:
				if err := reaper.Reap(); err != nil {
					log.G(ctx).WithError(err).Error("cannot reap")
				}
			case syscall.SIGUSR1:
				dumpStacks()
			}
		}
	}
}
