package streaming

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"k8s.io/cri-streaming/pkg/streaming/portforward"
	"k8s.io/klog/v2"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"

	"github.com/berth-run/berth/internal/budget"
)

// closeTimeout bounds the goodbye to a client that may have gone.
const closeTimeout = time.Second

// openTunnel takes a WebSocket whose messages carry SPDY's bytes (KEP-4006) and returns
// a request as if the client had upgraded to SPDY itself, for the library to serve.
// It answers the client when that fails.
func openTunnel(w http.ResponseWriter, r *http.Request) (http.ResponseWriter, *http.Request, bool) {
	up := websocket.Upgrader{
		Subprotocols:     []string{portforward.WebsocketsSPDYTunnelingPortForwardV1},
		HandshakeTimeout: budget.HeaderTimeout,
		// A token in the URL, not the origin, is what gives the right to connect.
		CheckOrigin: func(*http.Request) bool { return true },
	}
	ws, err := up.Upgrade(w, r, nil)
	if err != nil {
		klog.FromContext(r.Context()).V(4).Info("Could not upgrade to a WebSocket", "client", r.RemoteAddr, "err", err)
		return nil, nil, false
	}
	if ws.Subprotocol() == "" {
		_ = ws.WriteControl(websocket.CloseMessage,
			websocket.FormatCloseMessage(websocket.CloseProtocolError, "want subprotocol "+portforward.WebsocketsSPDYTunnelingPortForwardV1),
			time.Now().Add(closeTimeout))
		ws.Close()
		return nil, nil, false
	}
	inner := r.Clone(r.Context())
	for name := range inner.Header {
		if strings.HasPrefix(name, "Sec-Websocket-") {
			inner.Header.Del(name)
		}
	}
	inner.Header.Set(httpstream.HeaderConnection, httpstream.HeaderUpgrade)
	inner.Header.Set(httpstream.HeaderUpgrade, spdy.HeaderSpdy31)
	inner.Header.Set(httpstream.HeaderProtocolVersion, portforward.ProtocolV1Name)
	return &tunnelWriter{header: http.Header{}, conn: &tunnelConn{ws: ws}}, inner, true
}

// tunnelWriter lets the library believe that it upgrades an HTTP connection.
type tunnelWriter struct {
	header http.Header
	conn   net.Conn
}

// Header implements http.ResponseWriter.
func (w *tunnelWriter) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter: the client had its answer before.
func (w *tunnelWriter) WriteHeader(int) {}

// Write implements http.ResponseWriter. The library writes a body only to refuse an
// upgrade, and then the tunnel has no use.
func (w *tunnelWriter) Write(b []byte) (int, error) {
	_ = w.conn.Close()
	return len(b), nil
}

// Hijack implements http.Hijacker.
func (w *tunnelWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return w.conn, bufio.NewReadWriter(bufio.NewReader(w.conn), bufio.NewWriter(w.conn)), nil
}

// tunnelConn is a byte stream in the binary messages of a WebSocket.
type tunnelConn struct {
	ws      *websocket.Conn
	reader  io.Reader // the message being read, by one reader at a time
	writeMu sync.Mutex
}

// Read implements net.Conn.
func (c *tunnelConn) Read(b []byte) (int, error) {
	for {
		if c.reader == nil {
			kind, r, err := c.ws.NextReader()
			if err != nil {
				if websocket.IsCloseError(err, websocket.CloseNormalClosure, websocket.CloseGoingAway) {
					err = io.EOF
				}
				return 0, err
			}
			if kind != websocket.BinaryMessage {
				return 0, errors.New("a tunnel's messages must be binary")
			}
			c.reader = r
		}
		n, err := c.reader.Read(b)
		if errors.Is(err, io.EOF) {
			c.reader, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// Write implements net.Conn; one call is one message.
func (c *tunnelConn) Write(b []byte) (int, error) {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	if err := c.ws.WriteMessage(websocket.BinaryMessage, b); err != nil {
		return 0, err
	}
	return len(b), nil
}

// Close implements net.Conn and says goodbye as the protocol wants it.
func (c *tunnelConn) Close() error {
	_ = c.ws.WriteControl(websocket.CloseMessage,
		websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(closeTimeout))
	return c.ws.Close()
}

// LocalAddr implements net.Conn.
func (c *tunnelConn) LocalAddr() net.Addr { return c.ws.LocalAddr() }

// RemoteAddr implements net.Conn.
func (c *tunnelConn) RemoteAddr() net.Addr { return c.ws.RemoteAddr() }

// SetDeadline implements net.Conn.
func (c *tunnelConn) SetDeadline(t time.Time) error {
	return errors.Join(c.ws.SetReadDeadline(t), c.ws.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn.
func (c *tunnelConn) SetReadDeadline(t time.Time) error { return c.ws.SetReadDeadline(t) }

// SetWriteDeadline implements net.Conn.
func (c *tunnelConn) SetWriteDeadline(t time.Time) error { return c.ws.SetWriteDeadline(t) }
