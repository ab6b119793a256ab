package container

import (
	"errors"
	"time"

	"github.com/containerd/errdefs"

	"github.com/berth-run/berth/engine"
)

// unrecordedPause is how often containerd is asked again that could not be.
const unrecordedPause = 500 * time.Millisecond

// settleLater makes a container whose record may never have been written go when
// containerd, which was away, says that there is none.
func (m *Manager) settleLater(c *Container) {
	for m.ctx.Err() == nil && c.halfMade() {
		_, err := m.client.ContainerService().Get(engine.Context(m.ctx), c.ID)
		switch {
		case errdefs.IsNotFound(err):
			m.forget(c)
			return
		case err == nil:
			return
		}
		select {
		case <-time.After(unrecordedPause):
		case <-m.ctx.Done():
		}
	}
}

// errStartFailed stands for the reason while the start is being undone.
var errStartFailed = errors.New("the start failed and is being undone")

// failStart records that the container could not be started. It may have run for a
// moment and been ended by the undo, whose exit says nothing of the reason: what Start
// reports counts. The container's turn is held, so that nothing was saved yet.
func (m *Manager) failStart(c *Container, err error) {
	e := Exit{FinishedAt: time.Now(), Code: exitCannotRun, Reason: ReasonCannotRun, Message: err.Error()}
	m.noteExit(c, e)
	c.set(func() {
		c.record.Exit.Code, c.record.Exit.Reason, c.record.Exit.Message = e.Code, e.Reason, e.Message
	})
}
