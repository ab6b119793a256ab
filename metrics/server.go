package metrics

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/berth-run/berth/internal/budget"
	"github.com/berth-run/berth/internal/gate"
)

// Check is one condition of health. An error is the reason it is not met.
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
	// Listen opens the TCP listener at Address; nil is net.Listen.
	Listen func(address string) (net.Listener, error)
	// TLS serves HTTPS when set.
	TLS *tls.Config
	// TokenFile has the bearer token that /metrics asks for; it is made when it does not exist.
	// "" leaves /metrics open to whoever reaches the address.
	TokenFile string
	// Live are the checks of /healthz: failing means that a restart would help.
	Live []Check
	// Ready are those of /readyz.
	Ready []Check
}

// Server serves /metrics, /healthz and /readyz.
type Server struct {
	listener net.Listener
	http     *http.Server
}

// NewServer opens the listener, so that a port in use is an error at start-up
// (errdefs.ErrUnavailable). A bad address or token file is errdefs.ErrInvalidArgument.
func NewServer(m *Metrics, opts ServerOptions) (*Server, error) {
	exposition := http.Handler(newExposition(m))
	if opts.TokenFile != "" {
		token, err := openToken(opts.TokenFile)
		if err != nil {
			return nil, err
		}
		exposition = token.guard(exposition)
	}
	l, err := listen(opts.Address, opts.Listen)
	if err != nil {
		return nil, err
	}
	bounded := gate.New(l, "metrics")
	s := &Server{listener: bounded, http: &http.Server{Handler: handler(exposition, opts), WriteTimeout: budget.ScrapeTimeout}}
	bounded.Attach(s.http)
	if opts.TLS != nil {
		s.listener = tls.NewListener(bounded, opts.TLS)
	}
	return s, nil
}

func handler(exposition http.Handler, opts ServerOptions) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", exposition)
	mux.Handle("GET /healthz", health(opts.Live))
	mux.Handle("GET /readyz", health(opts.Ready))
	return mux
}

// listen opens a TCP or unix socket. A socket file that a daemon before left
// behind is replaced; one that somebody answers on is not.
func listen(address string, listenTCP func(string) (net.Listener, error)) (net.Listener, error) {
	path, isUnix := strings.CutPrefix(address, "unix://")
	if !isUnix {
		if _, _, err := net.SplitHostPort(address); err != nil {
			return nil, fmt.Errorf("metrics address %q: want host:port or unix:///path (%w): %w", address, err, errdefs.ErrInvalidArgument)
		}
		if listenTCP == nil {
			listenTCP = func(address string) (net.Listener, error) { return net.Listen("tcp", address) }
		}
		l, err := listenTCP(address)
		if err != nil {
			return nil, fmt.Errorf("listen for metrics on %s: %w: %w", address, err, errdefs.ErrUnavailable)
		}
		return l, nil
	}
	if c, err := net.Dial("unix", path); err == nil {
		c.Close()
		return nil, fmt.Errorf("listen for metrics on %s: another process answers there: %w", address, errdefs.ErrUnavailable)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove the old metrics socket %s: %w", path, err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen for metrics on %s: %w: %w", address, err, errdefs.ErrUnavailable)
	}
	return l, nil
}

// health answers 200 when all checks pass and 503 else, with one line each in the
// form that Kubernetes' components use.
func health(checks []Check) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		var b strings.Builder
		code := http.StatusOK
		for _, c := range checks {
			if err := c.Ready(); err != nil {
				code = http.StatusServiceUnavailable
				fmt.Fprintf(&b, "[-]%s failed: %v\n", c.Name, err)
			} else {
				fmt.Fprintf(&b, "[+]%s ok\n", c.Name)
			}
		}
		if code == http.StatusOK {
			b.WriteString("ok\n")
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.WriteHeader(code)
		_, _ = w.Write([]byte(b.String()))
	})
}

// Addr is the address in use.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Serve answers requests until Shutdown, and returns nil then.
func (s *Server) Serve() error {
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve metrics on %s: %w", s.Addr(), err)
	}
	return nil
}

// Shutdown closes the listener and waits for requests under way until ctx ends.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	// A server that never served does not know of its listener.
	_ = s.listener.Close()
	return err
}
