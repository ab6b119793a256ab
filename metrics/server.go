package metrics

import (
	"context"
	"crypto/tls"
	"net"
)

// Check is one condition of readiness. An error is the reason it is not met.
type Check struct {
	// Name names the condition ("runtime", "network").
	Name string
	// Ready returns nil when the condition is met. It must answer at once, from memory.
	Ready func() error
}

// ServerOptions configure a Server.
type ServerOptions struct {
	// Address is host:port or unix:///path. Port 0 takes a free one.
	Address string
	// TLS serves HTTPS when set.
	TLS *tls.Config
	// Live are the checks of /healthz: failing means that a restart would help.
	Live []Check
	// Ready are those of /readyz.
	Ready []Check
}

// Server serves /metrics, /healthz and /readyz.
type Server struct{}

// NewServer opens the listener, so that a port in use is an error at start-up.
func NewServer(m *Metrics, opts ServerOptions) (*Server, error) { return &Server{}, nil }

// Addr is the address in use.
func (s *Server) Addr() net.Addr { return nil }

// Serve answers requests until Shutdown, and returns nil then.
func (s *Server) Serve() error { return nil }

// Shutdown closes the listener and waits for requests under way until ctx ends.
func (s *Server) Shutdown(ctx context.Context) error { return nil }
