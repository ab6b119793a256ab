package streaming

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	"k8s.io/klog/v2"

	"github.com/berth-run/berth/internal/gate"
)

const (
	defaultAddress     = "127.0.0.1:0"
	defaultIdleTimeout = 4 * time.Hour
	defaultDialTimeout = 10 * time.Second
)

// Config configures a Server. Zero values are sensible.
type Config struct {
	// Address is host:port to listen on; "" means 127.0.0.1:0 (loopback, a free port).
	Address string
	// Listen opens the TCP listener at Address; nil is net.Listen.
	Listen func(address string) (net.Listener, error)
	// TLS serves HTTPS when set.
	TLS *tls.Config
	// IdleTimeout closes connections that carry nothing; 0 means 4 hours.
	IdleTimeout time.Duration
	// CreationTimeout is how long a SPDY client may take to open its streams; 0 means 30 seconds.
	CreationTimeout time.Duration
	// DialTimeout bounds the connection to a pod's port; 0 means 10 seconds.
	DialTimeout time.Duration
	// Observe is told that a session began, by its kind ("exec", "attach", "portforward"), and
	// by the function it returns that it ended; may be nil.
	Observe func(kind string) (end func())
}

// Server hands out URLs for sessions and serves them.
type Server struct {
	cfg      Config
	backend  Backend
	listener net.Listener
	base     url.URL
	http     *http.Server
	tokens   *tokens
	hangups  *hangups
	// forwarded counts the connections to pods' ports.
	forwarded atomic.Int64

	// ctx ends with Close, and with it every session.
	ctx      context.Context
	cancel   context.CancelFunc
	sessions sync.WaitGroup
}

// NewServer opens the listener; Serve must be called for it to answer. A bad address is
// errdefs.ErrInvalidArgument, one in use errdefs.ErrUnavailable.
func NewServer(cfg Config, backend Backend) (*Server, error) {
	cfg.setDefaults()
	host, _, err := net.SplitHostPort(cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("streaming address %q: want host:port (%w): %w", cfg.Address, err, errdefs.ErrInvalidArgument)
	}
	l, err := cfg.Listen(cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("listen for streaming on %s: %w: %w", cfg.Address, err, errdefs.ErrUnavailable)
	}
	watch, err := newHangups()
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("watch streaming connections: %w", err)
	}
	bounded := gate.New(l, "streaming")
	s := &Server{cfg: cfg, backend: backend, listener: bounded, base: baseURL(l.Addr(), host, cfg.TLS != nil), tokens: newTokens(), hangups: watch}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.http = &http.Server{Handler: s.routes(), ConnContext: keepConn}
	bounded.Attach(s.http)
	if cfg.TLS != nil {
		// HTTP/2 has no upgrade to another protocol.
		t := cfg.TLS.Clone()
		t.NextProtos = []string{"http/1.1"}
		s.listener = tls.NewListener(bounded, t)
	}
	return s, nil
}

func (c *Config) setDefaults() {
	if c.Address == "" {
		c.Address = defaultAddress
	}
	if c.Listen == nil {
		c.Listen = func(address string) (net.Listener, error) { return net.Listen("tcp", address) }
	}
	if c.IdleTimeout <= 0 {
		c.IdleTimeout = defaultIdleTimeout
	}
	if c.CreationTimeout <= 0 {
		c.CreationTimeout = remotecommand.DefaultStreamCreationTimeout
	}
	if c.DialTimeout <= 0 {
		c.DialTimeout = defaultDialTimeout
	}
	if c.Observe == nil {
		c.Observe = func(string) func() { return func() {} }
	}
}

// baseURL is what clients on this host (the kubelet, crictl) reach the listener by: a
// listener on all addresses is reached by loopback.
func baseURL(addr net.Addr, host string, secure bool) url.URL {
	u := url.URL{Scheme: "http", Host: addr.String()}
	if secure {
		u.Scheme = "https"
	}
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return u
	}
	port := fmt.Sprint(tcp.Port)
	switch {
	case tcp.IP.IsUnspecified():
		u.Host = net.JoinHostPort("127.0.0.1", port)
		if host == "::" {
			u.Host = net.JoinHostPort("::1", port)
		}
	case net.ParseIP(host) == nil:
		// A name stays a name, for the sake of certificates.
		u.Host = net.JoinHostPort(host, port)
	}
	return u
}

// Addr is the address in use.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Serve answers until Close and returns nil then.
func (s *Server) Serve() error {
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve streaming on %s: %w", s.Addr(), err)
	}
	return nil
}

// Close ends the listener and all sessions and waits for them until ctx ends. Processes
// that were started by an exec session are the backend's to end.
func (s *Server) Close(ctx context.Context) error {
	s.cancel()
	err := s.http.Close()
	// A server that never served does not know of its listener.
	_ = s.listener.Close()
	done := make(chan struct{})
	go func() {
		s.sessions.Wait()
		close(done)
	}()
	select {
	case <-done:
		s.hangups.close()
		return err
	case <-ctx.Done():
		klog.FromContext(ctx).Info("Streaming sessions are still under way at the end of their grace", "address", s.Addr())
		return fmt.Errorf("wait for streaming sessions: %w", ctx.Err())
	}
}
