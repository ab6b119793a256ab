package container

import (
	"context"
	"encoding/json"
	"os"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/klog/v2"

	"github.com/berth-run/berth/internal/cgroup"
	"github.com/berth-run/berth/internal/steps"
	"github.com/berth-run/berth/shim"
)

// ShimEvent takes what a pod's shim reports of a container (sandbox.Workloads).
// Events repeat after a reconnection, so each is taken as the state it tells.
func (m *Manager) ShimEvent(podID string, e shim.Event) {
	if e.Type == shim.EventSynced {
		m.undoStarts(podID)
		return
	}
	if e.Record.ID == "" || e.Type == shim.EventDeleted {
		return
	}
	c, err := m.Get(e.Record.ID)
	if err != nil {
		return // removed meanwhile
	}
	m.apply(c, e.Record)
}

// undoStarts takes back the starts in a pod that a former daemon was cut off in: nobody waits for them. The
// shim may still be at work on one that it does not know as a container yet.
func (m *Manager) undoStarts(podID string) {
	for _, c := range m.ofPod(podID) {
		if c.inherited && !c.isHidden() && c.State() == runtimeapi.ContainerState_CONTAINER_CREATED {
			m.running.Go(func() { m.undoStart(c) })
		}
	}
}

// apply takes over a state that the shim recorded.
func (m *Manager) apply(c *Container, r shim.Record) {
	switch r.State {
	case shim.StateRunning:
		m.noteRunning(c, uint32(r.PID), r.StartedAt)
	case shim.StateExited:
		if r.StartedAt.IsZero() {
			return // it was never started: whoever creates it reports that
		}
		m.noteRunning(c, uint32(r.PID), r.StartedAt)
		m.noteExit(c, exitOf(r))
	}
}

// exitOf puts a shim's record into the words of Kubernetes.
func exitOf(r shim.Record) Exit {
	e := Exit{StartedAt: r.StartedAt, FinishedAt: r.ExitedAt, Code: r.ExitCode, Reason: ReasonError, OOMKills: r.OOMKills}
	switch {
	case r.OOMKilled:
		e.Reason = ReasonOOMKilled
	case r.ExitCode == 0:
		e.Reason = ReasonCompleted
	}
	return e
}

// noteExit records an exit: in memory at once, then for good, and removes what is
// left of the process, in the background. A second one changes nothing.
func (m *Manager) noteExit(c *Container, e Exit) {
	first := m.transition(c, runtimeapi.ContainerEventType_CONTAINER_STOPPED_EVENT, func() bool {
		if c.record.Phase == Exited {
			return false
		}
		if e.StartedAt.IsZero() {
			e.StartedAt = c.startedAt
		}
		c.record.Phase, c.record.Exit = Exited, &e
		c.running = false
		if c.exited == nil {
			c.exited, c.cleaned = make(chan struct{}), make(chan struct{})
		}
		close(c.exited)
		return true
	})
	if !first {
		return
	}
	klog.FromContext(m.ctx).V(2).Info("Container has ended", "id", c.ID, "container", c.Name(), "code", e.Code, "reason", e.Reason)
	c.mu.RLock()
	cleaned := c.cleaned
	c.mu.RUnlock()
	m.running.Go(func() { m.cleanUp(c, cleaned) })
}

// cleanUp saves the exit and removes the task. What fails here is tried again when
// the container is removed, and the exit is found again at the next start.
func (m *Manager) cleanUp(c *Container, cleaned chan<- struct{}) {
	defer close(cleaned)
	ctx, cancel := m.bounded(m.ctx)
	defer cancel()
	call, end := m.background.Track("exit/"+c.ID, "ContainerExit of "+c.Name(), 0)
	defer end()
	call.SetStage("waiting for another operation")
	release, err := c.acquire(ctx)
	if err != nil {
		klog.FromContext(ctx).Error(err, "Cannot clean up after a container's exit", "id", c.ID)
		return
	}
	defer release()
	if _, err := m.Get(c.ID); err != nil {
		return // it was removed, and all that an exit leaves with it
	}
	if err := m.planOf("ContainerExit", m.exitPlan(c), call.SetStage).Up(ctx); err != nil {
		klog.FromContext(ctx).Error(err, "Cannot clean up after a container's exit", "id", c.ID)
	}
}

// exitPlan saves the exit and removes what is left of the process. The shim keeps
// its own record of the exit until all of that is done.
func (m *Manager) exitPlan(c *Container) steps.Node {
	do := func(name string, action action) steps.Step {
		return steps.Step{Name: name, Do: func(ctx context.Context) error { return action(ctx, c) }}
	}
	return steps.Seq{
		do("record", func(ctx context.Context, c *Container) error { return m.save(ctx, c, nil, func(*Record) {}) }),
		do("task", m.removeTask),
		do("streams", m.closeForeign),
		do("forget", m.forgetInShim),
	}
}

// forgetInShim lets the pod's shim drop its record of the container. A shim that is
// gone has forgotten everything.
func (m *Manager) forgetInShim(ctx context.Context, c *Container) error {
	if p := c.Pod.Shim(); p != nil {
		_ = p.Client().Forget(ctx, c.ID)
	}
	return nil
}

// undoStart takes back a start that a killed daemon left at any point before the process began, so that the
// container can be started again.
func (m *Manager) undoStart(c *Container) {
	ctx, cancel := m.bounded(m.ctx)
	defer cancel()
	call, end := m.background.Track("undo/"+c.ID, "UndoStart of "+c.Name(), 0)
	defer end()
	call.SetStage("waiting for another operation")
	release, err := c.acquire(ctx)
	if err != nil {
		return
	}
	defer release()
	if c.State() != runtimeapi.ContainerState_CONTAINER_CREATED {
		return
	}
	call.SetStage("giving up an earlier start")
	if err := m.takeBack(ctx, c); err != nil {
		klog.FromContext(ctx).Error(err, "Cannot take back the start of a container that was interrupted", "id", c.ID)
	}
}

// lostCgroupTimeout bounds ending the processes of a container without a shim.
const lostCgroupTimeout = 10 * time.Second

// ShimLost ends the containers of a pod whose shim died (sandbox.Workloads): their
// processes have nobody to report to. What the shim wrote before it died counts.
func (m *Manager) ShimLost(podID string) {
	for _, c := range m.ofPod(podID) {
		if c.State() == runtimeapi.ContainerState_CONTAINER_EXITED || c.isHidden() {
			continue // a hidden one has not been made yet
		}
		m.running.Go(func() { m.lost(c) })
	}
}

func (m *Manager) lost(c *Container) {
	if c.PID() == 0 {
		// It may be about to start, in another shim: its turn tells.
		release, err := c.acquire(m.ctx)
		if err != nil {
			return
		}
		defer release()
		if c.State() != runtimeapi.ContainerState_CONTAINER_CREATED {
			return
		}
	}
	r, err := m.statusFile(c)
	switch {
	case err == nil && r.State == shim.StateExited:
		m.apply(c, r)
		return
	case err != nil && m.volatileLost(c):
		m.noteExit(c, Exit{FinishedAt: time.Now(), Code: exitUnknown, Reason: ReasonUnknown,
			Message: "the node was restarted, or its state directory was lost, while the container may have been running"})
		return
	case err != nil && c.PID() == 0:
		return // it was never started
	}
	paths := m.Cgroups.Resolve(c.CgroupsPath)
	if !m.killLost(c, paths) {
		return // the next daemon finds it as this one did
	}
	m.noteExit(c, Exit{FinishedAt: time.Now(), Code: exitKilled, Reason: ReasonError,
		Message: "the shim of the pod died; the container was ended because nobody could follow it any more"})
	ctx, cancel := context.WithTimeout(m.ctx, lostCgroupTimeout)
	defer cancel()
	if err := m.Cgroups.Remove(ctx, paths); err != nil {
		klog.FromContext(ctx).Error(err, "Cannot remove the cgroup of a container whose shim died", "id", c.ID)
	}
}

// killLost ends the processes of a container whose shim died, however long that takes:
// it has not ended before they have. It gives up when the daemon stops.
func (m *Manager) killLost(c *Container, paths cgroup.Paths) bool {
	for first := true; ; first = false {
		ctx, cancel := context.WithTimeout(m.ctx, lostCgroupTimeout)
		m.Cgroups.Thaw(paths)
		err := m.Cgroups.KillAll(ctx, paths)
		cancel()
		switch {
		case err == nil:
			return true
		case m.ctx.Err() != nil:
			return false
		case first:
			klog.FromContext(m.ctx).Error(err, "Cannot end the processes of a container whose shim died; trying on", "id", c.ID)
		}
		select {
		case <-time.After(signalRetry):
		case <-m.ctx.Done():
			return false
		}
	}
}

// volatileLost says that the container's directory on tmpfs is gone.
func (m *Manager) volatileLost(c *Container) bool {
	_, err := os.Stat(m.paths.Container(c.ID))
	return os.IsNotExist(err)
}

// statusFile reads what the shim wrote about the container.
func (m *Manager) statusFile(c *Container) (shim.Record, error) {
	var r shim.Record
	raw, err := os.ReadFile(m.paths.ContainerStatus(c.ID))
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(raw, &r)
}
