package streaming

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/cri-streaming/pkg/streaming/portforward"

	"github.com/berth-run/berth/internal/budget"
	"github.com/berth-run/berth/internal/gate"
)

// halfClosed is how long a client may be silent after the pod has closed its side. The pod may
// still read, so the client's side stays open while it sends; a client that does
// neither send nor close would otherwise hold the pod's socket for ever.
const halfClosed = 30 * time.Second

// forwarder makes the library's streams connections to a pod's ports, for one request.
type forwarder struct {
	// ctx ends with the client's connection; the library's own contexts never end.
	ctx         context.Context
	backend     Backend
	dialTimeout time.Duration
	all         *atomic.Int64 // connections of all requests

	mu      sync.Mutex
	ended   bool // no stream may begin any more
	streams sync.WaitGroup
}

var _ portforward.PortForwarder = (*forwarder)(nil)

// wait returns when no stream is left, and lets none begin.
func (f *forwarder) wait() {
	f.mu.Lock()
	f.ended = true
	f.mu.Unlock()
	f.streams.Wait()
}

func (f *forwarder) begin() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.ended {
		f.streams.Add(1)
	}
	return !f.ended
}

// PortForward implements portforward.PortForwarder for one stream. An error is shown to the user.
func (f *forwarder) PortForward(_ context.Context, podID, _ string, port int32, stream io.ReadWriteCloser) (err error) {
	if !f.begin() {
		return net.ErrClosed
	}
	defer f.streams.Done()
	defer recovered(f.ctx, &err)
	defer f.all.Add(-1)
	if most := gate.Share(budget.ForwardedShare); f.all.Add(1) > int64(most) {
		return fmt.Errorf("connect to port %d of pod %s: %d connections to pods' ports are open on this node already, and more "+
			"would take the runtime's file descriptors: close some, or raise LimitNOFILE of berthd", port, podID, most)
	}
	network, err := f.backend.PodNetwork(f.ctx, podID)
	if err != nil {
		return err
	}
	conn, err := dialPod(f.ctx, network, port, f.dialTimeout)
	if err != nil {
		return fmt.Errorf("connect to port %d of pod %s: %w", port, podID, err)
	}
	defer conn.Close()
	// Ends both copies below, whatever they wait for.
	stop := context.AfterFunc(f.ctx, func() { conn.Close() })
	defer stop()
	relay(stream, conn)
	return nil
}

// halfCloser is a connection whose two directions end one by one.
type halfCloser interface {
	io.ReadWriteCloser
	CloseWrite() error
}

// relay copies both ways until both directions have ended. Errors are ends here: which
// side broke off is seen by the other as an end, as with any proxy.
func relay(stream io.ReadWriteCloser, conn halfCloser) {
	idle := time.AfterFunc(time.Hour, func() {
		conn.Close()
		reset(stream)
	})
	idle.Stop()
	var podClosed atomic.Bool
	toPod := make(chan struct{})
	go func() {
		defer close(toPod)
		_, _ = io.Copy(writerFunc(func(b []byte) (int, error) {
			if podClosed.Load() {
				idle.Reset(halfClosed)
			}
			return conn.Write(b)
		}), stream)
		_ = conn.CloseWrite()
		// A connection that broke must not leave the client's data undelivered: the
		// library would hold the connection's other streams for it.
		_, _ = io.Copy(io.Discard, stream)
	}()
	_, err := io.Copy(stream, conn)
	podClosed.Store(true)
	if err != nil {
		conn.Close()
	}
	// Half-closes SPDY's stream; the older WebSocket protocol cannot, and ends with it.
	_ = stream.Close()
	idle.Reset(halfClosed)
	<-toPod
	idle.Stop()
}

// reset ends both directions of a stream, where the protocol can.
func reset(stream io.Closer) {
	if r, ok := stream.(interface{ Reset() error }); ok {
		_ = r.Reset()
		return
	}
	_ = stream.Close()
}

// writerFunc is a function as a writer.
type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
