package gate

import (
	"container/list"
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"

	"github.com/berth-run/berth/internal/budget"
)

// Gate is a listener with bounds.
type Gate struct {
	net.Listener
	name string

	mu      sync.Mutex
	open    int
	waiting *list.List // of *conn, the oldest first
	closed  uint64     // how many connections were closed for others
}

// New bounds a listener below TLS. name is the server's in messages.
func New(l net.Listener, name string) *Gate {
	return &Gate{Listener: l, name: name, waiting: list.New()}
}

// Attach makes a server tell which of its connections wait, and bounds how long they may. It is
// to be called once the server's handler is set.
func (g *Gate) Attach(s *http.Server) {
	s.ReadHeaderTimeout, s.MaxHeaderBytes, s.IdleTimeout = budget.HeaderTimeout, budget.HeaderBytes, budget.KeepAlive
	outer := s.ConnContext
	s.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if outer != nil {
			ctx = outer(ctx, c)
		}
		return context.WithValue(ctx, key{}, own(c))
	}
	s.ConnState = func(c net.Conn, state http.ConnState) {
		if mine := own(c); mine != nil && state == http.StateIdle {
			g.waits(mine)
		}
	}
	inner := s.Handler
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, _ := r.Context().Value(key{}).(*conn); c != nil && !g.served(c) {
			return // it was closed for another just now
		}
		inner.ServeHTTP(w, r)
	})
}

// key finds the connection of a request in its context.
type key struct{}

// own is the gate's connection below TLS, nil for one of another listener.
func own(c net.Conn) *conn {
	if t, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = t.NetConn()
	}
	mine, _ := c.(*conn)
	return mine
}

// Accept implements net.Listener.
func (g *Gate) Accept() (net.Conn, error) {
	for {
		c, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if mine := g.admit(c); mine != nil {
			return mine, nil
		}
	}
}

// admit counts a connection, for which another may have to go. It is nil, and c closed, when all are in use.
func (g *Gate) admit(c net.Conn) *conn {
	served, waiting := Share(budget.ServedShare), min(Share(budget.WaitingShare), budget.MostWaiting)
	mine := &conn{Conn: c, gate: g}
	var gone *conn
	g.mu.Lock()
	if oldest := g.waiting.Front(); oldest != nil && (g.open >= served || g.waiting.Len() >= waiting) {
		gone = oldest.Value.(*conn)
		g.drop(gone)
	}
	full := g.open >= served
	if full || gone != nil {
		g.complain(full)
	}
	if !full {
		g.open++
		mine.place = g.waiting.PushBack(mine)
	}
	g.mu.Unlock()
	if gone != nil {
		_ = gone.Conn.Close()
	}
	if full {
		_ = c.Close()
		return nil
	}
	return mine
}

// complain logs the first connection that was closed for others, and then ever fewer of them; g.mu is held.
func (g *Gate) complain(full bool) {
	g.closed++
	if g.closed&(g.closed-1) == 0 {
		klog.Background().Info("Too many connections: closed one that sent no request, or a new one where all are in use",
			"server", g.name, "allInUse", full, "open", g.open, "closedSoFar", g.closed)
	}
}

// drop takes a connection out of the books; g.mu is held.
func (g *Gate) drop(c *conn) {
	if c.dropped {
		return
	}
	c.dropped = true
	g.open--
	if c.place != nil {
		g.waiting.Remove(c.place)
		c.place = nil
	}
}

// served notes that a request has come; it reports whether the connection is still open.
func (g *Gate) served(c *conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c.place != nil {
		g.waiting.Remove(c.place)
		c.place = nil
	}
	return !c.dropped
}

// waits notes that a connection has no request.
func (g *Gate) waits(c *conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !c.dropped && c.place == nil {
		c.place = g.waiting.PushBack(c)
	}
}

// Share is one in so many of the descriptors that this process may have, four at the least.
func Share(of int) int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 4
	}
	const most = 1 << 20
	return max(int(min(limit.Cur, most))/of, 4)
}

// conn is a connection in the books of a gate.
type conn struct {
	net.Conn
	gate    *Gate
	place   *list.Element // among those that wait, nil for one that is in use
	dropped bool
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.gate.mu.Lock()
	c.gate.drop(c)
	c.gate.mu.Unlock()
	return c.Conn.Close()
}

// SyscallConn implements syscall.Conn.
func (c *conn) SyscallConn() (syscall.RawConn, error) {
	s, ok := c.Conn.(syscall.Conn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return s.SyscallConn()
}
