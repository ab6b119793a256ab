package shim

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/berth-run/berth/shim/api"
	"github.com/containerd/errdefs"
)

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

// Attach joins the container's streams until the container ends (nil), ctx is done, a writer
// fails, or the client is too slow to take the output (errdefs.ErrResourceExhausted). Without any
// output stream it returns when Stdin has ended.
func (c *Client) Attach(ctx context.Context, id string, o AttachOptions) error {
	conn, err := c.open(ctx, api.Request{
		Op: api.OpAttach, ID: id, Stdin: o.Stdin != nil, Stdout: o.Stdout != nil, Stderr: o.Stderr != nil,
	})
	if err != nil {
		return err
	}
	defer conn.close()
	if o.Ready != nil {
		o.Ready()
	}
	if o.Stdin != nil {
		go conn.sendStdin(o.Stdin)
	}
	return conn.receive(ctx, o)
}

// sendStdin sends frames until the reader or the connection ends.
func (c *conn) sendStdin(r io.Reader) {
	const chunk = 32 << 10
	p := make([]byte, chunk)
	b := make([]byte, 0, chunk+api.FrameHeaderBytes)
	for {
		n, err := r.Read(p)
		if n > 0 {
			b = api.AppendFrame(b[:0], api.StreamStdin, p[:n])
			if _, werr := c.Write(b); werr != nil {
				return
			}
		}
		if err != nil {
			_, _ = c.Write(api.AppendFrame(b[:0], api.StreamStdin, nil))
			return
		}
	}
}

// receive hands output frames to the writers until the shim ends the attach.
func (c *conn) receive(ctx context.Context, o AttachOptions) error {
	buf := make([]byte, api.MaxFrameBytes)
	for {
		id, p, err := api.ReadFrame(c.r, buf)
		if err != nil {
			return c.wrap(ctx, err)
		}
		var w io.Writer
		switch id {
		case api.StreamStdout:
			w = o.Stdout
		case api.StreamStderr:
			w = o.Stderr
		case api.StreamEnd:
			var r api.Response
			if err := json.Unmarshal(p, &r); err != nil {
				return fmt.Errorf("shim at %s: attach: malformed end: %w: %w", c.path, err, errdefs.ErrDataLoss)
			}
			return r.Err()
		}
		if w == nil || len(p) == 0 {
			continue
		}
		if _, err := w.Write(p); err != nil {
			return fmt.Errorf("attach: write output: %w", err)
		}
	}
}
