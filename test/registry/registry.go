package registry

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
)

// Auth is a way of authenticating.
type Auth string

const (
	// AuthNone lets everybody in.
	AuthNone Auth = ""
	// AuthBasic wants a user and password with every request.
	AuthBasic Auth = "basic"
	// AuthToken wants a bearer token, which its token endpoint gives for a user
	// and password (by GET with basic authentication, and by an OAuth2 POST).
	AuthToken Auth = "token"
)

// Options of a registry; the zero value is an open one over plain HTTP.
type Options struct {
	// TLS serves HTTPS with a certificate of a CA that exists for this registry.
	TLS bool
	// Auth is what pulls need. Pushes by this package's helpers need nothing.
	Auth Auth
	// User and Password are what Auth accepts; "berth" and "secret" when empty.
	User, Password string
}

// Registry is a running registry.
type Registry struct {
	opts     Options
	listener net.Listener
	server   *http.Server
	push     *httptest.Server // the way in for Push: no authentication, counters or faults
	ca       *authority       // nil over plain HTTP

	blobs    *blobStore
	counters counters
	faults   faults
	tokens   tokens
}

// Start starts a registry on a free port of 127.0.0.1.
func Start(opts Options) (*Registry, error) {
	if opts.User == "" {
		opts.User = "berth"
	}
	if opts.Password == "" {
		opts.Password = "secret"
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for the test registry: %w", err)
	}
	r := &Registry{opts: opts, listener: listener, blobs: newBlobStore()}
	quiet := log.New(io.Discard, "", 0)
	store := r.blobs.serve(ggcr.New(ggcr.Logger(quiet), ggcr.WithBlobHandler(r.blobs)))

	r.server = &http.Server{Handler: r.count(r.authenticate(r.faults.inject(store))), ErrorLog: quiet}
	serve := func() error { return r.server.Serve(listener) }
	if opts.TLS {
		if r.ca, err = newAuthority(); err != nil {
			listener.Close()
			return nil, err
		}
		r.server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{r.ca.server}}
		serve = func() error { return r.server.ServeTLS(listener, "", "") }
	}
	r.push = httptest.NewServer(store)
	go func() { _ = serve() }() // ends with Close
	return r, nil
}

// Close stops the registry and breaks off what it was answering.
func (r *Registry) Close() {
	r.push.Close()
	_ = r.server.Close()
}

// Shutdown stops the registry after what it was answering, or when ctx is done.
func (r *Registry) Shutdown(ctx context.Context) error {
	r.push.Close()
	return r.server.Shutdown(ctx)
}

// Host is the address of the registry, "127.0.0.1:PORT".
func (r *Registry) Host() string { return r.listener.Addr().String() }

// URL is the registry's base URL, without a path.
func (r *Registry) URL() string {
	if r.opts.TLS {
		return "https://" + r.Host()
	}
	return "http://" + r.Host()
}

// CAPEM is the certificate of the registry's CA; nil over plain HTTP.
func (r *Registry) CAPEM() []byte {
	if r.ca == nil {
		return nil
	}
	return r.ca.pem
}

// User and Password are what the registry accepts.
func (r *Registry) User() string     { return r.opts.User }
func (r *Registry) Password() string { return r.opts.Password }
