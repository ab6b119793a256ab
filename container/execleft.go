package container

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"
)

// leftRetry is the pause before a shim is asked again to end the commands of a former daemon.
const leftRetry = time.Second

// execDir is where the FIFOs of a container's commands are, in a directory each.
func (m *Manager) execDir(c *Container) string { return filepath.Join(m.paths.Container(c.ID), "exec") }

// endLeftExecs ends, in the background, the commands that a former daemon was running in a
// container when it was killed: their clients are gone with it, and nobody reads what they
// write. What is in the directory of FIFOs now is theirs.
func (m *Manager) endLeftExecs(c *Container) {
	dirs, err := os.ReadDir(m.execDir(c))
	if err != nil || len(dirs) == 0 {
		return
	}
	m.running.Go(func() {
		for _, d := range dirs {
			m.endLeftExec(c, filepath.Join(m.execDir(c), d.Name()))
		}
	})
}

// endLeftExec ends one command, however often the shim has to be asked; a container that
// ends meanwhile takes its commands along.
func (m *Manager) endLeftExec(c *Container, dir string) {
	log := klog.FromContext(m.ctx).WithValues("id", c.ID)
	for first := true; m.ctx.Err() == nil && c.PID() != 0; first = false {
		err := m.tryEndExec(c, execOf(dir))
		if err == nil {
			err = os.RemoveAll(dir)
		}
		if err == nil {
			return
		}
		if first {
			log.Error(err, "Cannot end a command of a former daemon; trying on", "exec", execOf(dir))
		}
		select {
		case <-time.After(leftRetry):
		case <-m.ctx.Done():
		}
	}
}

func (m *Manager) tryEndExec(c *Container, execID string) error {
	if execID == "" {
		return nil // it never got as far as to have FIFOs
	}
	ctx, cancel := context.WithTimeout(m.ctx, execKillTimeout)
	defer cancel()
	e := &execution{m: m, c: c, id: execID}
	state, err := m.tasks.Get(ctx, c.ID, execID)
	switch {
	case errdefs.IsNotFound(err):
		return nil
	case err != nil:
		return err
	case !state.Running:
		// Its start may be under way, and then comes to no end by itself.
		_ = m.tasks.Kill(ctx, c.ID, execID, uint32(unix.SIGKILL), false)
	default:
		klog.FromContext(m.ctx).Info("Ending a command whose client is gone with a former daemon", "id", c.ID, "exec", execID, "pid", state.PID)
		e.pid = state.PID
		if err := e.end(ctx); err != nil {
			return err
		}
	}
	return e.delete(ctx)
}

// execOf is the command whose FIFOs are in a directory: they are named "<exec>-stdout" and
// the like.
func execOf(dir string) string {
	fifos, _ := os.ReadDir(dir)
	for _, f := range fifos {
		if n := strings.LastIndexByte(f.Name(), '-'); n > 0 {
			return f.Name()[:n]
		}
	}
	return ""
}
