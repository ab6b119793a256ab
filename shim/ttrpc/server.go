package ttrpc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/berth-run/berth/shim/pb"
	"github.com/containerd/errdefs"
)

// readBuffer is small: a connection is idle nearly always, and there is one for each container.
const readBuffer = 512

// Server serves unary calls.
type Server struct {
	// Handle answers a call with the encoded result. It runs in a goroutine of its own; its context
	// ends with the connection and at the caller's deadline.
	Handle func(context.Context, *Request) ([]byte, error)
	// Admit decides on a new connection; nil admits all.
	Admit func(*net.UnixConn) error
}

// Serve accepts connections until the listener is closed (nil) or fails.
func (s *Server) Serve(ctx context.Context, l *net.UnixListener) error {
	for {
		conn, err := l.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			// Out of descriptors, most likely: give it time to pass.
			select {
			case <-time.After(100 * time.Millisecond):
				continue
			case <-ctx.Done():
				return err
			}
		}
		go s.connection(ctx, conn)
	}
}

// served is one connection.
type served struct {
	*Server
	ctx  context.Context
	conn *net.UnixConn

	mu sync.Mutex // held while a frame is written
}

func (s *Server) connection(ctx context.Context, conn *net.UnixConn) {
	defer conn.Close()
	if s.Admit != nil && s.Admit(conn) != nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	c := &served{Server: s, ctx: ctx, conn: conn}
	r := bufio.NewReaderSize(conn, readBuffer)
	last := uint32(0)
	for {
		h, p, err := readFrame(r)
		switch {
		case errdefs.IsResourceExhausted(err):
			c.respond(h.stream, nil, err)
			continue
		case err != nil:
			return
		case h.kind != typeRequest:
			continue
		case h.stream%2 != 1 || h.stream <= last:
			c.respond(h.stream, nil, fmt.Errorf("stream ID %d after %d: it must be odd and grow: %w", h.stream, last, errdefs.ErrInvalidArgument))
			continue
		}
		last = h.stream
		go c.serve(h.stream, p)
	}
}

// serve answers one request.
func (c *served) serve(stream uint32, p []byte) {
	q, err := readRequest(p)
	if err != nil {
		c.respond(stream, nil, err)
		return
	}
	ctx, cancel := c.ctx, context.CancelFunc(func() {})
	if q.nanos > 0 {
		ctx, cancel = context.WithTimeout(ctx, time.Duration(q.nanos))
	}
	defer cancel()
	payload, err := c.Handle(ctx, &q)
	c.respond(stream, payload, err)
}

func (c *served) respond(stream uint32, payload []byte, err error) {
	b := frame(stream, typeResponse, 0, func(b []byte) []byte {
		if err != nil {
			return pb.Bytes(b, 1, appendStatus(nil, err))
		}
		return pb.Bytes(b, 2, payload)
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = c.conn.Write(b) // a client that has gone learns nothing
}
