package streaming

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/cri-streaming/pkg/streaming/portforward"
	"k8s.io/klog/v2"
)

// pipeWriter lets a handler take over one end of a pipe.
type pipeWriter struct {
	*httptest.ResponseRecorder
	conn net.Conn
}

func (w pipeWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return w.conn, bufio.NewReadWriter(bufio.NewReader(w.conn), bufio.NewWriter(w.conn)), nil
}

// tunnelRequest asks for a tunnel as kubectl does.
func tunnelRequest() *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/portforward/x", nil)
	for name, value := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-Websocket-Version": "13",
		"Sec-Websocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Sec-Websocket-Protocol": portforward.WebsocketsSPDYTunnelingPortForwardV1,
	} {
		r.Header.Set(name, value)
	}
	return r
}

// tunnelTo serves a client that upgrades, sends these bytes and goes.
func tunnelTo(t *testing.T, sent []byte, serve func(w http.ResponseWriter, r *http.Request)) {
	t.Helper()
	client, server := net.Pipe()
	defer server.Close()
	answered := make(chan error, 1)
	go func() {
		defer client.Close()
		in := bufio.NewReader(client)
		_, err := http.ReadResponse(in, nil)
		answered <- err
		go func() { _, _ = io.Copy(io.Discard, in) }()
		_, _ = client.Write(sent)
	}()
	w, r, ok := openTunnel(pipeWriter{httptest.NewRecorder(), server}, tunnelRequest())
	if err := <-answered; err != nil || !ok {
		t.Fatalf("no tunnel: %v, %v", ok, err)
	}
	serve(w, r)
}

// frame is a masked message of a client, whose mask is 0.
func frame(opcode byte, content []byte) []byte {
	b := []byte{0x80 | opcode}
	switch n := len(content); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	return append(append(b, 0, 0, 0, 0), content...)
}

// FuzzTunnelFrames: whatever frames a client sends, the bytes of a tunnel come to an end, and those of
// whole messages are what was sent.
func FuzzTunnelFrames(f *testing.F) {
	f.Add([]byte("SPDY"), []byte{})
	f.Add([]byte{}, frame(1, []byte("text")))
	f.Add([]byte("x"), []byte{0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte("x"), append(frame(9, []byte("ping")), frame(8, []byte{3, 232})...))
	f.Fuzz(func(t *testing.T, message, raw []byte) {
		tunnelTo(t, append(frame(2, message), raw...), func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(conn)
			if len(got) < len(message) || string(got[:len(message)]) != string(message) {
				t.Errorf("%q arrived of %q: %v", got, message, err)
			}
			_ = conn.Close()
		})
	})
}

// nowhere has no pod.
type nowhere struct{}

func (nowhere) Exec(context.Context, string, []string, IO) (uint32, error) {
	return 0, errors.New("no")
}
func (nowhere) Attach(context.Context, string, IO) error { return errors.New("no") }
func (nowhere) PodNetwork(context.Context, string) (PodNetwork, error) {
	return PodNetwork{}, errors.New("no such pod")
}

// FuzzTunnelSession: whatever SPDY a client sends through a tunnel, its session ends with its connection, and
// leaves no stream.
func FuzzTunnelSession(f *testing.F) {
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
	f.Add([]byte{})
	// SYN_STREAM, SETTINGS, PING, GOAWAY and DATA of SPDY/3.1, with little in them.
	f.Add([]byte{0x80, 3, 0, 1, 1, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x78, 0xbb})
	f.Add([]byte{0x80, 3, 0, 4, 0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 100})
	f.Add([]byte{0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1, 0x80, 3, 0, 7, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{0, 0, 0, 1, 1, 0, 0, 3, 'a', 'b', 'c'})
	f.Fuzz(func(t *testing.T, spdy []byte) {
		tunnelTo(t, frame(2, spdy), func(w http.ResponseWriter, r *http.Request) {
			forward := &forwarder{ctx: r.Context(), backend: nowhere{}, dialTimeout: time.Second, all: new(atomic.Int64)}
			portforward.ServePortForward(w, r, forward, "pod", "", nil, time.Minute, time.Second, portforward.SupportedProtocols)
			forward.wait()
			if n := forward.all.Load(); n != 0 {
				t.Errorf("%d streams are left", n)
			}
		})
	})
}
