package container

import (
	"errors"
	"time"
)

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
