package streaming

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Config configures a Server. Zero values are sensible.
type Config struct {
	// Address is host:port to listen on; "" means 127.0.0.1:0 (loopback, a free port).
	Address string
	// TLS serves HTTPS when set.
	TLS *tls.Config
	// IdleTimeout closes connections that carry nothing; 0 means 4 hours.
	IdleTimeout time.Duration
	// CreationTimeout is how long a SPDY client may take to open its streams; 0 means 30 seconds.
	CreationTimeout time.Duration
	// DialTimeout bounds the connection to a pod's port; 0 means 10 seconds.
	DialTimeout time.Duration
}

// Server hands out URLs for sessions and serves them.
type Server struct{}

// NewServer opens the listener; Serve must be called for it to answer.
func NewServer(cfg Config, backend Backend) (*Server, error) { return &Server{}, nil }

// Addr is the address in use.
func (s *Server) Addr() net.Addr { return nil }

// Serve answers until Close and returns nil then.
func (s *Server) Serve() error { return nil }

// Close ends the listener and all sessions and waits for them until ctx ends.
func (s *Server) Close(ctx context.Context) error { return nil }

// Exec answers CRI's Exec with a URL. Errors are gRPC statuses (InvalidArgument,
// ResourceExhausted with too many unused URLs).
func (s *Server) Exec(req *runtimeapi.ExecRequest) (*runtimeapi.ExecResponse, error) { return nil, nil }

// Attach answers CRI's Attach with a URL; errors as for Exec.
func (s *Server) Attach(req *runtimeapi.AttachRequest) (*runtimeapi.AttachResponse, error) {
	return nil, nil
}

// PortForward answers CRI's PortForward with a URL; errors as for Exec.
func (s *Server) PortForward(req *runtimeapi.PortForwardRequest) (*runtimeapi.PortForwardResponse, error) {
	return nil, nil
}
