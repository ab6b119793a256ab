package streaming

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
)

// connKey finds the connection of a request in its context.
type connKey struct{}

func keepConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// session gives a request a context that ends with the client's connection. The HTTP
// server's own does not: once a handler took over the connection, nobody looks whether the
// client is still there unless something is read, and an exec without stdin reads nothing.
// The context also ends with the server. end must be called when the request was served.
func (s *Server) session(w http.ResponseWriter, r *http.Request) (http.ResponseWriter, *http.Request, func()) {
	s.sessions.Add(1)
	ctx, cancel := context.WithCancel(r.Context())
	stopServer := context.AfterFunc(s.ctx, cancel)
	sw := &sessionWriter{ResponseWriter: w, cancel: cancel}
	forget := func() {}
	if c, ok := r.Context().Value(connKey{}).(net.Conn); ok {
		forget = s.hangups.watch(rawConn(c), cancel)
	}
	// Whatever ended the context, the connection has no use any more, and its end
	// frees those that still read from it or write to it.
	stopConn := context.AfterFunc(ctx, sw.closeConn)
	return sw, r.WithContext(ctx), func() {
		forget()
		stopServer()
		cancel()
		stopConn()
		sw.closeConn()
		s.sessions.Done()
	}
}

// rawConn is the TCP connection below TLS.
func rawConn(c net.Conn) net.Conn {
	if t, ok := c.(*tls.Conn); ok {
		return t.NetConn()
	}
	return c
}

// sessionWriter watches what becomes of the connection that a handler takes over. It
// has no Unwrap on purpose: then the libraries take the connection from here.
type sessionWriter struct {
	http.ResponseWriter
	cancel context.CancelFunc

	mu   sync.Mutex
	conn net.Conn
}

// Hijack implements http.Hijacker.
func (w *sessionWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	h, ok := w.ResponseWriter.(http.Hijacker)
	if !ok {
		return nil, nil, errors.New("this connection cannot be upgraded")
	}
	conn, rw, err := h.Hijack()
	if err != nil {
		return nil, nil, err
	}
	// What the server has read ahead comes first, then what our watched connection reads.
	early, _ := rw.Reader.Peek(rw.Reader.Buffered())
	c := &sessionConn{Conn: conn, cancel: w.cancel, early: early}
	w.mu.Lock()
	w.conn = c
	w.mu.Unlock()
	return c, bufio.NewReadWriter(bufio.NewReader(c), bufio.NewWriter(c)), nil
}

func (w *sessionWriter) closeConn() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conn != nil {
		_ = w.conn.Close()
	}
}

// sessionConn ends the session when the connection ends, from either side.
type sessionConn struct {
	net.Conn
	cancel context.CancelFunc
	early  []byte
}

// Read implements net.Conn. There is one reader at a time, as of any connection.
func (c *sessionConn) Read(b []byte) (int, error) {
	if len(c.early) > 0 {
		n := copy(b, c.early)
		c.early = c.early[n:]
		return n, nil
	}
	n, err := c.Conn.Read(b)
	if err != nil {
		c.cancel()
		if errors.Is(err, net.ErrClosed) {
			err = io.EOF
		}
	}
	return n, err
}

// Close implements net.Conn. Closing twice is no error: the session and the libraries do,
// and SPDY's would wait a second for somebody to tell of it.
func (c *sessionConn) Close() error {
	err := c.Conn.Close()
	c.cancel()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
