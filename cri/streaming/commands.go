package streaming

import (
	"context"
	"fmt"
	"io"
	"runtime/debug"
	"time"

	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	"k8s.io/klog/v2"
	utilexec "k8s.io/utils/exec"
)

// commands makes the backend an executor and attacher of the library for one request.
type commands struct {
	backend Backend
	opts    *remotecommand.Options
}

var (
	_ remotecommand.Executor = (*commands)(nil)
	_ remotecommand.Attacher = (*commands)(nil)
)

// ExecInContainer implements remotecommand.Executor. An exit code other than 0 must be
// an utilexec.ExitError, from which the library makes the status for the client.
func (c *commands) ExecInContainer(ctx context.Context, _, _, id string, cmd []string,
	in io.Reader, out, errOut io.WriteCloser, tty bool, resize <-chan remotecommand.TerminalSize, _ time.Duration,
) (err error) {
	defer recovered(ctx, &err)
	code, err := c.backend.Exec(ctx, id, cmd, c.streams(in, out, errOut, tty, resize))
	if err != nil {
		return err
	}
	if code != 0 {
		return utilexec.CodeExitError{Err: fmt.Errorf("exit code %d", code), Code: int(code)}
	}
	return nil
}

// AttachContainer implements remotecommand.Attacher.
func (c *commands) AttachContainer(ctx context.Context, _, _, id string,
	in io.Reader, out, errOut io.WriteCloser, tty bool, resize <-chan remotecommand.TerminalSize,
) (err error) {
	defer recovered(ctx, &err)
	return c.backend.Attach(ctx, id, c.streams(in, out, errOut, tty, resize))
}

// streams leaves out what the request did not ask for. The library's WebSocket gives a stdin
// that is at its end instead, and with stdinOnce this end would close the container's stdin.
func (c *commands) streams(in io.Reader, out, errOut io.WriteCloser, tty bool, resize <-chan remotecommand.TerminalSize) IO {
	s := IO{TTY: tty, Resize: resize}
	if c.opts.Stdin {
		s.Stdin = in
	}
	if c.opts.Stdout {
		s.Stdout = out
	}
	if c.opts.Stderr {
		s.Stderr = errOut
	}
	return s
}

// recovered turns a panic into an error: some of the library's goroutines are its
// own, where a panic would end the daemon.
func recovered(ctx context.Context, err *error) {
	if p := recover(); p != nil {
		klog.FromContext(ctx).Error(nil, "Panic in a streaming session", "panic", p, "stack", string(debug.Stack()))
		*err = fmt.Errorf("internal error in the streaming session: %v", p)
	}
}
