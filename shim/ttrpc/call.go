package ttrpc

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/berth-run/berth/shim/pb"
	"github.com/containerd/errdefs"
)

// Conn makes calls, one at a time.
type Conn struct {
	conn   net.Conn
	stream uint32
}

// Dial connects to the unix socket at path.
func Dial(ctx context.Context, path string) (*Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, errdefs.ErrUnavailable)
	}
	return &Conn{conn: conn}, nil
}

// Close closes the connection.
func (c *Conn) Close() error { return c.conn.Close() }

// Call makes a call and returns the encoded result. After any error that the other side has not
// sent, the connection is of no use any more.
func (c *Conn) Call(ctx context.Context, q Request) ([]byte, error) {
	if deadline, ok := ctx.Deadline(); ok {
		_ = c.conn.SetDeadline(deadline)
		q.nanos = uint64(max(time.Until(deadline), 1))
	}
	c.stream++
	if c.stream%2 == 0 {
		c.stream++
	}
	if _, err := c.conn.Write(frame(c.stream, typeRequest, flagRemoteClosed, q.append)); err != nil {
		return nil, fmt.Errorf("%w: %w", err, errdefs.ErrUnavailable)
	}
	for {
		h, p, err := readFrame(c.conn)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", err, errdefs.ErrUnavailable)
		}
		if h.kind != typeResponse || h.stream != c.stream {
			continue
		}
		return readResponse(p)
	}
}

func readResponse(p []byte) (payload []byte, err error) {
	var failed error
	err = pb.Each(p, func(f pb.Field) error {
		switch f.Num {
		case 1:
			failed = readStatus(f.Bytes())
		case 2:
			payload = f.Bytes()
		}
		return nil
	})
	if err == nil {
		err = failed
	}
	return payload, err
}
