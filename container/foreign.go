package container

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/klog/v2"

	"github.com/berth-run/berth/internal/task"
)

// Containers whose shim is not Berth's: their streams are FIFOs that berthd reads,
// and their exits are waited for through containerd. What such a container writes
// while no daemon runs waits in the FIFO, at most 64 KiB of it.

// foreignRetry is the pause before a shim is asked again that could not answer.
const foreignRetry = time.Second

// openForeign makes and opens the container's FIFOs and begins to read them.
func (m *Manager) openForeign(_ context.Context, c *Container) error {
	if !c.Pod.Handler.Foreign {
		return nil
	}
	f, err := newForeignIO(m.foreignDir(c), c.logRoot(), c.LogPath(), m.Config.Container.MaxLogLineSize, c.Config.GetStdin(), c.Config.GetTty())
	if err != nil {
		return fmt.Errorf("open the container's streams: %w", err)
	}
	f.stdinOnce = c.Config.GetStdinOnce()
	f.closeStdin = func() { _ = m.tasks.CloseStdin(m.ctx, c.ID, "") }
	c.set(func() { c.foreign = f })
	return nil
}

// streams are those of a container with a foreign shim, nil once they are closed.
func (c *Container) streams() *foreignIO {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.foreign
}

// needStreams is for who cannot do without them.
func (c *Container) needStreams() (*foreignIO, error) {
	if f := c.streams(); f != nil {
		return f, nil
	}
	return nil, precondition("%s: its streams are closed", c.Name())
}

// closeForeign reads what is left, closes the FIFOs and removes them.
func (m *Manager) closeForeign(_ context.Context, c *Container) error {
	if !c.Pod.Handler.Foreign {
		return nil
	}
	c.mu.Lock()
	f := c.foreign
	c.foreign = nil
	c.mu.Unlock()
	if f != nil {
		f.close()
	}
	return os.RemoveAll(m.foreignDir(c))
}

func (m *Manager) foreignDir(c *Container) string { return filepath.Join(m.paths.FIFOs(), c.ID) }

// followForeign waits for the end of the container's first process.
func (m *Manager) followForeign(c *Container) {
	for m.ctx.Err() == nil {
		exit, err := m.tasks.Wait(m.ctx, c.ID, "")
		switch {
		case err == nil:
			m.foreignEnded(c, Exit{FinishedAt: exit.At, Code: int32(exit.Code), Reason: reasonOf(exit)})
			return
		case errdefs.IsNotFound(err):
			m.foreignEnded(c, Exit{FinishedAt: time.Now(), Code: exitUnknown, Reason: ReasonUnknown,
				Message: "containerd does not know the task any more; its exit code is lost"})
			return
		}
		klog.FromContext(m.ctx).V(2).Info("Waiting for a container's exit failed; asking again", "id", c.ID, "err", err)
		select {
		case <-time.After(foreignRetry):
		case <-m.ctx.Done():
		}
	}
}

// foreignEnded reports an exit after the log has what was written before it.
func (m *Manager) foreignEnded(c *Container, e Exit) {
	if f := c.streams(); f != nil {
		f.drain()
	}
	m.noteExit(c, e)
}

func reasonOf(e task.Exit) string {
	if e.Code == 0 {
		return ReasonCompleted
	}
	return ReasonError
}

// resumeForeign takes up a container that a former daemon started. While its shim does not
// answer, it is asked again and again.
func (m *Manager) resumeForeign(ctx context.Context, c *Container) {
	state, err := m.tasks.Get(ctx, c.ID, "")
	switch {
	case errdefs.IsNotFound(err):
		if m.volatileLost(c) || dirExists(m.foreignDir(c)) {
			m.noteExit(c, Exit{FinishedAt: time.Now(), Code: exitUnknown, Reason: ReasonUnknown,
				Message: "the container ended while no daemon was there; its exit code is lost"})
		}
		return
	case err != nil:
		klog.FromContext(ctx).Error(err, "Cannot ask containerd for a container's state; trying again", "id", c.ID)
		m.running.Go(func() {
			select {
			case <-time.After(foreignRetry):
				if _, err := m.Get(c.ID); err == nil { // it may have been removed
					m.resumeForeign(m.ctx, c)
				}
			case <-m.ctx.Done():
			}
		})
		return
	}
	if err := m.reopenForeign(ctx, c); err != nil {
		klog.FromContext(ctx).Error(err, "Cannot read a container's streams", "id", c.ID)
	}
	if state.Exited {
		m.noteRunning(c, state.PID, c.CreatedAt)
		m.foreignEnded(c, Exit{FinishedAt: state.Exit.At, Code: int32(state.Exit.Code), Reason: reasonOf(state.Exit)})
		return
	}
	if state.Running {
		m.noteRunning(c, state.PID, c.CreatedAt)
		m.running.Go(func() { m.followForeign(c) })
		return
	}
	m.running.Go(func() { m.undoStart(c) })
}

// reopenForeign opens the streams of a container that a former daemon started, unless the container has ended or was
// removed meanwhile: nobody would remove its FIFOs any more.
func (m *Manager) reopenForeign(ctx context.Context, c *Container) error {
	release, err := c.acquire(ctx)
	if err != nil {
		return err
	}
	defer release()
	if _, err := m.Get(c.ID); err != nil || c.State() == runtimeapi.ContainerState_CONTAINER_EXITED || c.streams() != nil {
		return nil
	}
	return m.openForeign(ctx, c)
}

// finishForeignExit removes, in the background, the task and the FIFOs of a container whose exit a former daemon
// recorded but did not get to the end of. The FIFOs go last, so that they tell.
func (m *Manager) finishForeignExit(c *Container) {
	if c.Pod.Handler.Foreign && dirExists(m.foreignDir(c)) {
		m.running.Go(func() { m.cleanUp(c, make(chan struct{})) })
	}
}

func dirExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// mkfifo makes a FIFO, or keeps one that a former daemon made, and opens it for
// both directions, so that neither opening nor the other side's end blocks or
// closes it.
func mkfifo(path string) (*os.File, error) {
	if err := unix.Mkfifo(path, 0o600); err != nil && err != unix.EEXIST {
		return nil, &os.PathError{Op: "mkfifo", Path: path, Err: err}
	}
	return os.OpenFile(path, os.O_RDWR|unix.O_NONBLOCK, 0)
}
