package shim

import (
	"context"
	"io"

	"github.com/containerd/errdefs"
)

// Client talks to the control socket of one pod's shim. It holds no connection: each call makes its
// own, so a Client needs no closing and may be used from many goroutines. Errors are classified with
// errdefs: ErrUnavailable when the shim is gone, ErrNotFound for an unknown container,
// ErrNotImplemented when the shim is older than the call.
type Client struct{ path string }

// Dial makes a client for the control socket at path and checks that somebody answers there.
func Dial(ctx context.Context, path string) (*Client, error) { return nil, errdefs.ErrNotImplemented }

// NewClient makes a client for the control socket at path without talking to it.
func NewClient(path string) *Client { return &Client{path: path} }

// Status asks what the shim serves.
func (c *Client) Status(ctx context.Context) (*Status, error) { return nil, errdefs.ErrNotImplemented }

// Watch calls fn with a snapshot of every container, EventSynced, and then every change, until ctx is
// done, fn fails, or the connection breaks (errdefs.ErrUnavailable: the shim died, or this watcher was
// too slow; watch again, nothing is lost). Keepalives are not passed on. Watch blocks.
func (c *Client) Watch(ctx context.Context, fn func(Event) error) error {
	return errdefs.ErrNotImplemented
}

// ReopenLog makes the shim open the container's log path anew, after it was renamed away
// (CRI ReopenContainerLog). When it returns, everything that follows goes to the new file.
func (c *Client) ReopenLog(ctx context.Context, id string) error { return errdefs.ErrNotImplemented }

// AttachOptions are the streams of one attached client; nil streams are left out.
type AttachOptions struct {
	// Stdin is copied to the container until it ends; ending closes the container's stdin when the
	// container has StdinOnce. Attach does not wait for a Read that is still blocked when the
	// container ends: the caller closes the reader.
	Stdin io.Reader
	// Stdout and Stderr get the raw output from now on. A terminal has only Stdout.
	Stdout io.Writer
	Stderr io.Writer
	// Ready, when not nil, is called once the shim has the client in its fan-out.
	Ready func()
}

// Attach joins the container's streams until the container ends (nil), ctx is done, or the client
// is too slow to take the output (errdefs.ErrResourceExhausted).
func (c *Client) Attach(ctx context.Context, id string, o AttachOptions) error {
	return errdefs.ErrNotImplemented
}

// Resize sets the size of the container's terminal, in characters.
func (c *Client) Resize(ctx context.Context, id string, width, height uint16) error {
	return errdefs.ErrNotImplemented
}

// CloseStdin closes the container's stdin for good.
func (c *Client) CloseStdin(ctx context.Context, id string) error { return errdefs.ErrNotImplemented }

// Forget drops the record of an exited container; unknown containers are no error. The shim keeps
// running ones (errdefs.ErrFailedPrecondition). The status file is left to its owner.
func (c *Client) Forget(ctx context.Context, id string) error { return errdefs.ErrNotImplemented }

// Shutdown ends the shim. It is refused with errdefs.ErrFailedPrecondition while it serves a task
// that has not been deleted, unless force is set; a forced shutdown leaves the containers running
// without a parent. A shim that is gone already is no error.
func (c *Client) Shutdown(ctx context.Context, force bool) error { return errdefs.ErrNotImplemented }
