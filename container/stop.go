package container

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/container/ocispec"
	"github.com/berth-run/berth/engine"
	"github.com/berth-run/berth/internal/flight"
	"github.com/berth-run/berth/internal/steps"
)

// signalRetry is the pause before a signal that could not be delivered is sent again.
const signalRetry = time.Second

// stopper is a Stop under way. Later calls can only make it more urgent.
type stopper struct {
	deadline time.Time
	kick     chan struct{} // one element: the deadline has changed
}

// Stop asks the container to end with its stop signal, and ends it when it has not
// by itself after grace (CRI StopContainer). A second Stop with less grace shortens
// the first. It is idempotent; a container that does not exist is no error.
func (m *Manager) Stop(ctx context.Context, id string, grace time.Duration) error {
	c, err := m.Get(id)
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return m.stopContainer(ctx, c, grace)
}

func (m *Manager) stopContainer(ctx context.Context, c *Container, grace time.Duration) error {
	if c.State() == runtimeapi.ContainerState_CONTAINER_EXITED {
		return nil
	}
	c.stopBy(time.Now().Add(max(grace, 0)))
	_, err := m.flights.Do(ctx, "stop/"+c.ID, "StopContainer of "+c.Name(), func(ctx context.Context, call *flight.Call) (string, error) {
		defer c.set(func() { c.stop = nil })
		call.SetStage("waiting for a start under way")
		release, err := m.acquireFromStart(ctx, c)
		if err != nil {
			return "", err
		}
		release()
		if c.State() != runtimeapi.ContainerState_CONTAINER_RUNNING {
			return "", nil // nothing runs: a created container stays as it is
		}
		return "", m.terminate(ctx, c, call)
	})
	return err
}

// stopBy sets the time at which a Stop under way stops waiting, if that is earlier
// than the present one.
func (c *Container) stopBy(deadline time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.stop == nil:
		c.stop = &stopper{deadline: deadline, kick: make(chan struct{}, 1)}
	case deadline.Before(c.stop.deadline):
		c.stop.deadline = deadline
		select {
		case c.stop.kick <- struct{}{}:
		default:
		}
	}
}

// terminate sends the stop signal, waits, and kills.
func (m *Manager) terminate(ctx context.Context, c *Container, call *flight.Call) error {
	c.mu.RLock()
	stop, exited := c.stop, c.exited
	c.mu.RUnlock()
	if stop == nil {
		stop = &stopper{deadline: time.Now(), kick: make(chan struct{}, 1)}
	}
	return m.planOf("StopContainer", m.stopPlan(c, stop, exited), call.SetStage).Up(ctx)
}

// stopPlan asks the container to end, and makes it end.
func (m *Manager) stopPlan(c *Container, stop *stopper, exited <-chan struct{}) steps.Node {
	return steps.Seq{
		steps.Step{Name: "grace", Do: func(ctx context.Context) error {
			if time.Now().Before(stop.deadline) {
				m.grace(ctx, c, c.stopSignal(), stop, exited)
			}
			return nil
		}},
		steps.Step{Name: "kill", Do: func(ctx context.Context) error {
			select {
			case <-exited:
				return nil
			default:
				return m.kill(ctx, c, exited)
			}
		}},
	}
}

// grace sends the signal until the process has it, and returns when the container has
// ended or the deadline has come, which may come closer meanwhile.
func (m *Manager) grace(ctx context.Context, c *Container, sig unix.Signal, stop *stopper, exited <-chan struct{}) {
	m.Cgroups.Thaw(m.Cgroups.Resolve(c.CgroupsPath))
	ask := asking{sig: sig}
	for next := ask.again(ctx, m, c); ; {
		c.mu.RLock()
		left := time.Until(stop.deadline)
		c.mu.RUnlock()
		if left <= 0 {
			return
		}
		if next > 0 {
			left = min(left, next)
		}
		timer := time.NewTimer(left)
		select {
		case <-exited:
			timer.Stop()
			return
		case <-stop.kick:
		case <-timer.C:
		}
		timer.Stop()
		if next > 0 {
			next = ask.again(ctx, m, c)
		}
	}
}

func (m *Manager) unkillable(c *Container, cause error) error {
	text := "a process in uninterruptible sleep (state D in ps) ends only when its I/O does"
	by := m.Cgroups.FrozenBy(m.Cgroups.Resolve(c.CgroupsPath))
	switch {
	case cause != nil:
		text = cause.Error()
	case by != "":
		text = fmt.Sprintf("it is frozen by cgroup %s, which is above its pod and may hold others, so that Berth does not thaw it: thaw it (%s)",
			by, m.Cgroups.ThawCommand(by))
	}
	return fmt.Errorf("%s has not ended %s after SIGKILL to pid %d: %s: %w",
		c.Name(), m.Config.Container.KillTimeout.Duration, c.PID(), text, context.DeadlineExceeded)
}

// stopSignal is the request's signal, else the image's, else SIGTERM.
func (c *Container) stopSignal() unix.Signal {
	c.mu.RLock()
	name := c.record.StopSignal
	c.mu.RUnlock()
	if sig, ok := ocispec.ParseSignal(name); ok {
		return sig
	}
	return unix.SIGTERM
}

// signal sends a signal to the container's first process. For Berth's own shim that
// is a system call on a pidfd instead of a run of runc.
func (m *Manager) signal(ctx context.Context, c *Container, sig unix.Signal) error {
	pid := c.PID()
	if pid == 0 {
		return nil
	}
	if !c.Pod.Handler.Foreign {
		return signalPID(int(pid), c.ID, c.shimPID(), sig)
	}
	err := m.tasks.Kill(ctx, c.ID, "", uint32(sig), false)
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

// StopPod ends all containers of a pod at once and waits until nothing of them is
// left but their records (sandbox.Workloads).
func (m *Manager) StopPod(ctx context.Context, podID string) error {
	var g errgroup.Group
	for _, c := range m.ofPod(podID) {
		g.Go(func() error {
			if err := m.stopContainer(ctx, c, 0); err != nil {
				return err
			}
			return c.waitCleaned(ctx)
		})
	}
	return g.Wait()
}

// waitCleaned waits until the clean-up after the exit is over.
func (c *Container) waitCleaned(ctx context.Context) error {
	c.mu.RLock()
	cleaned, ended := c.cleaned, c.record.Phase == Exited
	c.mu.RUnlock()
	if cleaned == nil || !ended {
		return nil
	}
	select {
	case <-cleaned:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s has ended, but its shim is not done with it: %w", c.Name(), ctx.Err())
	}
}

// Remove removes a container, ending it first where it runs (CRI RemoveContainer).
// It is idempotent; a container that does not exist is no error.
func (m *Manager) Remove(ctx context.Context, id string) error {
	c, err := m.Get(id)
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return m.remove(ctx, c)
}

func (m *Manager) remove(ctx context.Context, c *Container) error {
	_, err := m.flights.Do(ctx, "remove/"+c.ID, "RemoveContainer of "+c.Name(), func(ctx context.Context, call *flight.Call) (string, error) {
		ctx, cancel := m.bounded(ctx)
		defer cancel()
		if err := m.stopContainer(ctx, c, 0); err != nil {
			return "", err
		}
		if err := c.waitCleaned(ctx); err != nil {
			return "", err
		}
		release, err := c.acquire(ctx)
		if err != nil {
			return "", err
		}
		defer release()
		if _, err := m.Get(c.ID); err != nil {
			return "", nil // it could not be made, and is gone
		}
		err = m.planOf("RemoveContainer", m.removePlan(c), call.SetStage).Down(ctx)
		if err != nil && m.recorded(ctx, c) {
			return "", fmt.Errorf("%s: %w", c.Name(), err)
		}
		// The record goes last: without it, nothing is left, whatever the error says.
		m.forget(c)
		m.announce(c, runtimeapi.ContainerEventType_CONTAINER_DELETED_EVENT)
		return "", nil
	})
	return err
}

func (m *Manager) recorded(ctx context.Context, c *Container) bool {
	_, err := m.client.ContainerService().Get(engine.Context(ctx), c.ID)
	return !errdefs.IsNotFound(err)
}

// RemovePod removes all containers of a pod (sandbox.Workloads).
func (m *Manager) RemovePod(ctx context.Context, podID string) error {
	var g errgroup.Group
	for _, c := range m.ofPod(podID) {
		g.Go(func() error { return m.remove(ctx, c) })
	}
	return g.Wait()
}

// ended says that a process is not there any more.
func ended(err error) bool {
	return err == unix.ESRCH || (err != nil && strings.Contains(err.Error(), "no such process"))
}
