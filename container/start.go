package container

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/klog/v2"

	"github.com/berth-run/berth/internal/flight"
	"github.com/berth-run/berth/internal/steps"
	"github.com/berth-run/berth/internal/task"
	"github.com/berth-run/berth/shim"
)

// Start starts a created container (CRI StartContainer). One that runs already is
// no error, so that a retry gets the answer of the first call; one that has ended
// is errdefs.ErrFailedPrecondition. A container that cannot be started has ended,
// with reason ContainerCannotRun.
func (m *Manager) Start(ctx context.Context, id string) error {
	c, err := m.Get(id)
	if err != nil {
		return err
	}
	_, err = m.flights.Do(ctx, "start/"+c.ID, "StartContainer of "+c.Name(), func(ctx context.Context, call *flight.Call) (string, error) {
		ctx, cancel := m.bounded(ctx)
		defer cancel()
		giveBack, err := m.turn(ctx, call)
		if err != nil {
			return "", err
		}
		defer giveBack()
		done, err := c.acquire(ctx)
		if err != nil {
			return "", err
		}
		defer done()
		if _, err := m.Get(c.ID); err != nil {
			return "", err // removed while this waited
		}
		if call.Waiting() == 0 {
			return "", errNobodyWaits
		}
		return c.ID, m.start(ctx, c, call)
	})
	return err
}

func (m *Manager) start(ctx context.Context, c *Container, call *flight.Call) error {
	switch c.State() {
	case runtimeapi.ContainerState_CONTAINER_RUNNING:
		return nil
	case runtimeapi.ContainerState_CONTAINER_EXITED:
		return precondition("%s has ended and cannot be started again", c.Name())
	}
	if !c.Pod.Ready() {
		return precondition("%s: its pod sandbox %s is not ready", c.Name(), c.Pod.ID)
	}
	if by := m.Cgroups.FrozenBy(m.Cgroups.Resolve(c.Pod.CgroupParent)); by != "" {
		return precondition("%s: its pod is frozen by cgroup %s, no process would run in it: thaw that first (%s)",
			c.Name(), by, m.Cgroups.ThawCommand(by))
	}
	defer m.primer.Hold()()
	c.set(func() { c.exited, c.cleaned = make(chan struct{}), make(chan struct{}) })
	watch := m.watchInit(c)
	err := m.planOf("StartContainer", m.startPlan(c, call), call.SetStage).Up(ctx)
	if err = whyNot(err, watch.stop()); err != nil {
		m.failStart(c, err)
		return fmt.Errorf("%s: %w", c.Name(), classify(err))
	}
	return nil
}

// startPlan is what turns a created container into a running one.
func (m *Manager) startPlan(c *Container, call *flight.Call) steps.Node {
	n := &creation{Container: c}
	var pod *shim.Process
	return steps.Seq{
		n.step("shim", func(ctx context.Context) (err error) {
			pod, err = m.pods.EnsureShim(ctx, c.Pod)
			return err
		}, nil),
		n.step("streams", func(ctx context.Context) error { return m.openForeign(ctx, c) }, m.closeForeign),
		n.step("create", func(ctx context.Context) error { return m.createTask(ctx, c, pod) }, m.reapTask),
		n.step("start", func(ctx context.Context) error { return m.startAlone(ctx, c, call) }, nil),
	}
}

func (m *Manager) createTask(ctx context.Context, c *Container, pod *shim.Process) error {
	rootfs, err := m.rootfs(ctx, c)
	if err != nil {
		return err
	}
	req := task.CreateRequest{ID: c.ID, Rootfs: rootfs, Options: c.Pod.Handler.TaskOptions(ioOwner(c))}
	if pod != nil {
		req.Endpoint, req.EndpointVersion = pod.TaskEndpoint(), shim.TaskAPIVersion
		req.Stdio = task.Stdio{Stdout: m.ioConfig(c).URI(), Terminal: c.Config.GetTty()}
	} else {
		f, err := c.needStreams()
		if err != nil {
			return err
		}
		req.Stdio = f.stdio()
	}
	create := m.tasks.Create
	if c.inherited {
		create = func(ctx context.Context, req task.CreateRequest) (uint32, error) {
			return m.createAgain(ctx, c, pod, req)
		}
	}
	pid, err := create(ctx, req)
	if err != nil {
		return err
	}
	c.set(func() { c.pid = pid })
	return nil
}

const (
	// settleTimeout is how long after berthd's start something may still be going on of
	// what a former one had begun.
	settleTimeout = 20 * time.Second
	settlePause   = 200 * time.Millisecond
)

// createAgain creates the task of a container whose Start a former daemon may have been
// cut off in. An external containerd that lost its client gives up on what it was doing,
// at its leisure, in the same bundle, while runc may still be at work in it: until that
// has settled, creating can fail in any way.
func (m *Manager) createAgain(ctx context.Context, c *Container, pod *shim.Process, req task.CreateRequest) (pid uint32, err error) {
	for {
		if err = m.abandonStart(ctx, c, pod); err == nil {
			err = m.tasks.Reap(ctx, c.ID)
		}
		if err == nil {
			pid, err = m.tasks.Create(ctx, req)
		}
		if err == nil || time.Since(m.began) > settleTimeout || c.State() != runtimeapi.ContainerState_CONTAINER_CREATED {
			return pid, err
		}
		select {
		case <-time.After(settlePause):
		case <-ctx.Done():
			return 0, err
		}
	}
}

// abandonStart makes the shim take back what it was doing for the Start of a former
// daemon. When the process had begun before that, the error is errdefs.ErrFailedPrecondition and
// the container is not in CREATED any more.
func (m *Manager) abandonStart(ctx context.Context, c *Container, pod *shim.Process) error {
	if !c.inherited || pod == nil {
		return nil
	}
	err := pod.Client().Abandon(ctx, c.ID)
	if errdefs.IsNotImplemented(err) || (errdefs.IsUnavailable(err) && !pod.Alive()) {
		return nil // a shim of an older build, or one that is gone with all it had
	}
	if errdefs.IsFailedPrecondition(err) {
		if r, rerr := m.statusFile(c); rerr == nil {
			m.apply(c, r) // its event comes as well, maybe later
		}
	}
	return err
}

// ioConfig tells the shim what to do with the container's streams.
func (m *Manager) ioConfig(c *Container) shim.IOConfig {
	return shim.IOConfig{
		LogPath:      c.LogPath(),
		LogRoot:      c.logRoot(),
		StatusFile:   m.paths.ContainerStatus(c.ID),
		MaxLineBytes: m.Config.Container.MaxLogLineSize,
		Stdin:        c.Config.GetStdin(),
		StdinOnce:    c.Config.GetStdin() && c.Config.GetStdinOnce(),
		TTY:          c.Config.GetTty(),
	}
}

// ioOwner is who owns the pipes of the container: root of its user namespace.
func ioOwner(c *Container) (uid, gid uint32) {
	u := c.Pod.UserNamespace()
	if u == nil {
		return 0, 0
	}
	return u.GetUids()[0].GetHostId(), u.GetGids()[0].GetHostId()
}

func (m *Manager) startTask(ctx context.Context, c *Container) error {
	pid, err := m.tasks.Start(ctx, c.ID, "")
	if err != nil {
		return err
	}
	at := time.Now()
	if r, err := m.statusFile(c); err == nil && !r.StartedAt.IsZero() {
		at = r.StartedAt // the same after a restart of berthd
	}
	m.noteRunning(c, pid, at)
	if c.Pod.Handler.Foreign {
		m.running.Go(func() { m.followForeign(c) })
	}
	return nil
}

// reapTask takes a start back. The exit is noted first, so that nobody takes the end of
// the process for one of its own.
func (m *Manager) reapTask(ctx context.Context, c *Container) error {
	m.failStart(c, errStartFailed)
	if err := m.endInit(ctx, c); err != nil { // the shim may not know the task yet
		klog.FromContext(ctx).Error(err, "Cannot end the init of a container that could not be started", "id", c.ID)
	}
	return m.tasks.Reap(ctx, c.ID)
}

// noteRunning records in memory that the container runs; the shim's event and the
// answer to Start both bring it, in any order.
func (m *Manager) noteRunning(c *Container, pid uint32, at time.Time) {
	m.transition(c, runtimeapi.ContainerEventType_CONTAINER_STARTED_EVENT, func() bool {
		if c.running || c.record.Phase == Exited {
			return false
		}
		c.running, c.pid, c.startedAt = true, pid, at
		if c.exited == nil {
			c.exited, c.cleaned = make(chan struct{}), make(chan struct{})
		}
		return true
	})
}

// classify gives runc's complaints about what the user asked for a class; runc has
// no codes, hence the texts.
func classify(err error) error {
	text := err.Error()
	for _, users := range []string{"executable file not found", "no such file or directory", "permission denied", "is a directory", "exec format error", "chdir to cwd"} {
		if strings.Contains(text, users) {
			return precondition("%w", err)
		}
	}
	return err
}
