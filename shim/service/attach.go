package service

import (
	"bufio"
	"fmt"
	"net"
	"time"

	"github.com/berth-run/berth/shim/api"
	"github.com/containerd/errdefs"
)

// attach joins a client to a container's streams. It returns true when the connection was handed on.
func (c *control) attach(conn *net.UnixConn, r *bufio.Reader, req api.Request) bool {
	ctr := c.svc.container(req.ID)
	switch {
	case ctr == nil:
		reply(conn, api.Response{}, fmt.Errorf("no task of container %q here: %w", req.ID, errdefs.ErrNotFound))
		return false
	case !ctr.own:
		reply(conn, api.Response{}, fmt.Errorf("the streams of container %s are not the shim's: %w", req.ID, errdefs.ErrFailedPrecondition))
		return false
	case req.Stdin && ctr.stdin == nil:
		reply(conn, api.Response{}, fmt.Errorf("container %s has no stdin: %w", req.ID, errdefs.ErrFailedPrecondition))
		return false
	}
	cl := newClient(conn, req.Stdout, req.Stderr)
	// The response goes first: output that is queued from now on follows it.
	if err := ctr.fan.add(cl); err != nil {
		reply(conn, api.Response{}, err)
		return false
	}
	if !reply(conn, api.Response{}, nil) {
		ctr.fan.remove(cl)
		return false
	}
	_ = conn.SetDeadline(time.Time{})
	go cl.run()
	ctr.feed(cl, r, req.Stdin, !req.Stdout && !req.Stderr)
	return true
}

// feed takes the client's input to the container until the client goes, then removes the client.
// endWithInput ends the attach with its input.
func (c *container) feed(cl *client, r *bufio.Reader, input, endWithInput bool) {
	// Whatever ends the first attach with stdin ends a StdinOnce container's stdin.
	if input && c.stdin.once {
		defer c.stdin.close()
	}
	var buf []byte
	for {
		id, p, err := api.ReadFrame(r, buf)
		if err != nil {
			break
		}
		if buf = p; id != api.StreamStdin || !input {
			continue
		}
		if len(p) == 0 {
			if c.stdin.once {
				c.stdin.close()
			}
			if endWithInput {
				cl.end(nil)
			}
			continue
		}
		if err := c.stdin.write(cl.conn, p); err != nil {
			input = false // what still comes goes nowhere
		}
	}
	c.fan.remove(cl)
	cl.end(errGone)
}
