package container

import (
	"context"
	"fmt"
	"io"

	"github.com/berth-run/berth/cri/streaming"
	"github.com/berth-run/berth/shim"
)

// Attach connects the client's streams to the container's first process until that
// ends or ctx is done (CRI Attach).
func (m *Manager) Attach(ctx context.Context, id string, streams streaming.IO) error {
	c, err := m.NeedRunning(id, "attach to it")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if streams.Resize != nil && c.Config.GetTty() {
		go m.resize(ctx, c, streams.Resize)
	}
	if c.Pod.Handler.Foreign {
		f, err := c.needStreams()
		if err != nil {
			return err
		}
		return f.attach(ctx, c, streams)
	}
	p := c.Pod.Shim()
	if p == nil {
		return precondition("%s: its pod's shim is gone", c.Name())
	}
	opts := shim.AttachOptions{Stdout: writer(streams.Stdout), Stderr: writer(streams.Stderr)}
	if streams.Stdin != nil && c.Config.GetStdin() {
		opts.Stdin = io.Reader(streams.Stdin)
	}
	return p.Client().Attach(ctx, c.ID, opts)
}

func (m *Manager) resize(ctx context.Context, c *Container, sizes <-chan streaming.TerminalSize) {
	for {
		select {
		case size, ok := <-sizes:
			if !ok {
				return
			}
			_ = m.tasks.Resize(ctx, c.ID, "", uint32(size.Width), uint32(size.Height))
		case <-ctx.Done():
			return
		}
	}
}

// ReopenLog makes the container's log be opened anew, after it was renamed (CRI
// ReopenContainerLog).
func (m *Manager) ReopenLog(ctx context.Context, id string) error {
	c, err := m.NeedRunning(id, "reopen its log")
	if err != nil {
		return err
	}
	if c.Pod.Handler.Foreign {
		f, err := c.needStreams()
		if err != nil {
			return err
		}
		return f.reopen()
	}
	p := c.Pod.Shim()
	if p == nil {
		return precondition("%s: its pod's shim is gone", c.Name())
	}
	if err := p.Client().ReopenLog(ctx, c.ID); err != nil {
		return fmt.Errorf("reopen the log of %s: %w", c.Name(), err)
	}
	return nil
}

// writer is w, or nil: a nil *T in an interface is not nil.
func writer(w io.WriteCloser) io.Writer {
	if w == nil {
		return nil
	}
	return w
}
