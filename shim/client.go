package shim

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/berth-run/berth/shim/api"
	"github.com/containerd/errdefs"
)

// callTimeout bounds a call whose context has no deadline.
const callTimeout = 10 * time.Second

// Client talks to the control socket of one pod's shim. It holds no connection: each call makes its
// own, so a Client needs no closing and may be used from many goroutines. Errors are classified with
// errdefs: ErrUnavailable when the shim is gone, ErrNotFound for an unknown container,
// ErrNotImplemented when the shim is older than the call. Calls without a deadline get one of 10 s,
// except Watch and Attach, which last as long as they are wanted.
type Client struct {
	path    string
	observe Observer
}

// Observer is told about every call that begins, and by the function it returns that it
// has been answered. A watch or an attach is answered when it has begun.
type Observer func(ctx context.Context, call string) (end func(error))

func (c *Client) begin(ctx context.Context, op api.Op) (end func(error)) {
	if c.observe == nil {
		return func(error) {}
	}
	return c.observe(ctx, string(op))
}

// NewClient makes a client for the control socket at path without talking to it.
func NewClient(path string) *Client { return &Client{path: path} }

// Dial makes a client for the control socket at path and checks that a shim answers there.
func Dial(ctx context.Context, path string) (*Client, error) {
	c := NewClient(path)
	if _, err := c.Status(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// Status asks what the shim serves.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	r, err := c.call(ctx, api.Request{Op: api.OpStatus})
	if err != nil {
		return nil, err
	}
	if r.Status == nil {
		return nil, fmt.Errorf("shim at %s: empty status: %w", c.path, errdefs.ErrDataLoss)
	}
	return r.Status, nil
}

// ReopenLog makes the shim open the container's log path anew, after it was renamed away
// (CRI ReopenContainerLog). When it returns, everything that follows goes to the new file.
// errdefs.ErrFailedPrecondition: the container has ended.
func (c *Client) ReopenLog(ctx context.Context, id string) error {
	_, err := c.call(ctx, api.Request{Op: api.OpReopenLog, ID: id})
	return err
}

// Resize sets the size of the container's terminal, in characters.
func (c *Client) Resize(ctx context.Context, id string, width, height uint16) error {
	_, err := c.call(ctx, api.Request{Op: api.OpResize, ID: id, Width: width, Height: height})
	return err
}

// CloseStdin closes the container's stdin for good, once what was sent before has been taken.
func (c *Client) CloseStdin(ctx context.Context, id string) error {
	_, err := c.call(ctx, api.Request{Op: api.OpCloseStdin, ID: id})
	return err
}

// Forget drops the record of an exited container; unknown containers are no error. The shim keeps
// running ones (errdefs.ErrFailedPrecondition). The status file is left to its owner.
func (c *Client) Forget(ctx context.Context, id string) error {
	_, err := c.call(ctx, api.Request{Op: api.OpForget, ID: id})
	return err
}

// Abandon takes back a creation of a task that its caller did not live to see the end of: it waits
// for it, and deletes the task and its bundle. It is for a container of which containerd has no task.
// One that was started is errdefs.ErrFailedPrecondition, one that is unknown no error. The call may
// take as long as the OCI runtime does: give it a deadline.
func (c *Client) Abandon(ctx context.Context, id string) error {
	_, err := c.call(ctx, api.Request{Op: api.OpAbandon, ID: id})
	return err
}

// Shutdown ends the shim. It is refused with errdefs.ErrFailedPrecondition while it serves a task
// that has not been deleted, unless force is set; a forced shutdown leaves the containers running
// without a parent. A shim that is gone already is no error.
func (c *Client) Shutdown(ctx context.Context, force bool) error {
	_, err := c.call(ctx, api.Request{Op: api.OpShutdown, Force: force})
	if errdefs.IsUnavailable(err) && (errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, os.ErrNotExist)) {
		return nil
	}
	return err
}

// Watch calls fn with a snapshot of every container, EventSynced, and then every change, until ctx is
// done, fn fails, or the connection breaks (errdefs.ErrUnavailable: the shim died, or this watcher was
// too slow; watch again, nothing is lost). Watch blocks.
func (c *Client) Watch(ctx context.Context, fn func(Event) error) error {
	conn, err := c.open(ctx, api.Request{Op: api.OpWatch})
	if err != nil {
		return err
	}
	defer conn.close()
	for {
		var e Event
		if err := api.ReadMessage(conn.r, api.MaxResponseBytes, &e); err != nil {
			return conn.wrap(ctx, err)
		}
		if err := fn(e); err != nil {
			return err
		}
	}
}

// conn is one connection, carrying one request.
type conn struct {
	*net.UnixConn
	r    *bufio.Reader
	path string
	stop func() bool
}

// close ends the connection and its tie to the context.
func (c *conn) close() {
	c.stop()
	c.UnixConn.Close()
}

// wrap explains an error on the connection.
func (c *conn) wrap(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("shim at %s: %w", c.path, cause)
	}
	if errdefs.IsInvalidArgument(err) {
		return fmt.Errorf("shim at %s: %w", c.path, err)
	}
	return fmt.Errorf("shim at %s: connection broken: %w: %w", c.path, err, errdefs.ErrUnavailable)
}

// call makes a request and returns its response.
func (c *Client) call(ctx context.Context, req api.Request) (_ *api.Response, err error) {
	end := c.begin(ctx, req.Op)
	defer func() { end(err) }()
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	conn, err := c.dial(ctx, req.Op)
	if err != nil {
		return nil, err
	}
	defer conn.close()
	return conn.ask(ctx, req)
}

// open makes a request whose connection goes on to be used after the response.
func (c *Client) open(ctx context.Context, req api.Request) (_ *conn, err error) {
	end := c.begin(ctx, req.Op)
	defer func() { end(err) }()
	actx, cancel := withDeadline(ctx)
	defer cancel()
	conn, err := c.dial(actx, req.Op)
	if err != nil {
		return nil, err
	}
	if _, err := conn.ask(actx, req); err != nil {
		conn.close()
		return nil, err
	}
	if !conn.stop() {
		conn.close()
		return nil, fmt.Errorf("shim at %s: %w", c.path, context.Cause(actx))
	}
	conn.tie(ctx)
	return conn, nil
}

// Sizes of read buffers. A pod's watch lasts as long as the pod, and is silent nearly always.
const (
	readBuffer  = 4 << 10
	watchBuffer = 512
)

func (c *Client) dial(ctx context.Context, op api.Op) (*conn, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, "unix", c.path)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return nil, fmt.Errorf("shim at %s: connect: %w", c.path, cause)
		}
		return nil, fmt.Errorf("shim at %s: connect: %w: %w", c.path, err, errdefs.ErrUnavailable)
	}
	size := readBuffer
	if op == api.OpWatch {
		size = watchBuffer
	}
	conn := &conn{UnixConn: nc.(*net.UnixConn), r: bufio.NewReaderSize(nc, size), path: c.path}
	conn.tie(ctx)
	return conn, nil
}

// tie makes the end of ctx break the connection.
func (c *conn) tie(ctx context.Context) {
	c.stop = context.AfterFunc(ctx, func() { c.UnixConn.Close() })
}

func (c *conn) ask(ctx context.Context, req api.Request) (*api.Response, error) {
	req.Version = ProtocolVersion
	b, err := api.AppendMessage(nil, req)
	if err != nil {
		return nil, err
	}
	if _, err := c.Write(b); err != nil {
		return nil, c.wrap(ctx, err)
	}
	var resp api.Response
	if err := api.ReadMessage(c.r, api.MaxResponseBytes, &resp); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, c.wrap(ctx, err)
	}
	if err := resp.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", describe(req), err)
	}
	return &resp, nil
}

func describe(r api.Request) string {
	if r.ID == "" {
		return string(r.Op)
	}
	return fmt.Sprintf("%s of container %s", r.Op, r.ID)
}

func withDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, callTimeout)
}
