package imageservice

import (
	"context"
	"fmt"
	"net/http"
	"sync"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	dockerconfig "github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
)

// endpoint is one registry host a reference can be pulled from.
type endpoint struct {
	host     docker.RegistryHost
	guard    *guard
	resolver remotes.Resolver
	fetcher  remotes.Fetcher
}

// name is the endpoint as errors and metrics show it: scheme://host.
func (e *endpoint) name() string {
	if e.guard.plain.Load() {
		return "http://" + e.host.Host
	}
	return e.host.Scheme + "://" + e.host.Host
}

// registry is the ordered set of hosts for one pull, mirrors first. Connections
// live as long as the pull.
type registry struct {
	ref     string
	clients []*http.Client

	mu        sync.Mutex // layers fail and succeed side by side
	endpoints []*endpoint
}

// openRegistry reads the host configuration for a reference. Each host gets a
// resolver of its own, so that this package decides about failover and knows
// every host's error.
func (s *Service) openRegistry(ctx context.Context, named reference.Named, creds credentials) (*registry, error) {
	domain := reference.Domain(named)
	file, err := readHostsFile(s.opts.RegistryConfigDir, domain)
	if err != nil {
		return nil, err
	}
	r := &registry{ref: named.String()}
	hosts, err := dockerconfig.ConfigureHosts(ctx, dockerconfig.HostOptions{
		HostDir: dockerconfig.HostDirFromRoot(s.opts.RegistryConfigDir),
		UpdateClient: func(c *http.Client) error {
			transport, ok := c.Transport.(*http.Transport)
			if !ok {
				return fmt.Errorf("a transport of type %T cannot be guarded", c.Transport)
			}
			c.Transport = newGuardedTransport(transport)
			// Copied: the library may put another transport around it.
			r.clients = append(r.clients, &http.Client{Transport: c.Transport})
			return nil
		},
	})(domain)
	if err != nil {
		return nil, fmt.Errorf("registry configuration for %s in %s: %v: %w", domain, s.opts.RegistryConfigDir, err, errdefs.ErrInvalidArgument)
	}
	for i, h := range hosts {
		// The last one is the registry itself; those before it are mirrors.
		clear := i == len(hosts)-1 && (h.Scheme == "http" || file.plain())
		g := &guard{host: h.Host, clear: clear || docker.IsLocalhost(h.Host) || creds.meantFor(h.Host)}
		if err := r.add(ctx, h, g, creds, s.opts.UserAgent); err != nil {
			return nil, err
		}
	}
	if len(r.endpoints) == 0 {
		return nil, fmt.Errorf("registry configuration for %s in %s leaves no host to pull from: %w", domain, s.opts.RegistryConfigDir, errdefs.ErrFailedPrecondition)
	}
	return r, nil
}

func (r *registry) add(ctx context.Context, h docker.RegistryHost, g *guard, creds credentials, userAgent string) error {
	switch {
	case creds.bearer != "" && creds.appliesTo(h, g):
		h.Authorizer = bearerAuthorizer{host: h.Host, token: creds.bearer}
	default:
		h.Authorizer = guardedAuthorizer{docker.NewDockerAuthorizer(docker.WithAuthClient(h.Client), docker.WithAuthHeader(h.Header),
			docker.WithAuthCreds(func(host string) (string, string, error) { return creds.forHost(host, h, g) }))}
	}
	resolver := docker.NewResolver(docker.ResolverOptions{
		Headers: http.Header{"User-Agent": []string{userAgent}},
		Hosts:   func(string) ([]docker.RegistryHost, error) { return []docker.RegistryHost{h}, nil },
	})
	fetcher, err := resolver.Fetcher(ctx, r.ref)
	if err != nil {
		return fmt.Errorf("image reference %q: %v: %w", r.ref, err, errdefs.ErrInvalidArgument)
	}
	r.endpoints = append(r.endpoints, &endpoint{
		host: h, guard: g, resolver: resolver, fetcher: fetcher,
	})
	return nil
}

// withCapability returns the hosts that may do something.
func (r *registry) withCapability(c docker.HostCapabilities) []*endpoint {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []*endpoint
	for _, e := range r.endpoints {
		if e.host.Capabilities.Has(c) {
			out = append(out, e)
		}
	}
	return out
}

// pullHosts returns the hosts that give content.
func (r *registry) pullHosts() []*endpoint { return r.withCapability(docker.HostCapabilityPull) }

// prefer moves an endpoint to the front, for the requests after it answered.
func (r *registry) prefer(e *endpoint) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.endpoints = append([]*endpoint{e}, r.without(e)...)
}

// demote moves an endpoint to the end, so that the other blobs of the pull do not
// run into the same wall first.
func (r *registry) demote(e *endpoint) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.endpoints = append(r.without(e), e)
}

func (r *registry) without(e *endpoint) []*endpoint {
	out := make([]*endpoint, 0, len(r.endpoints))
	for _, o := range r.endpoints {
		if o != e {
			out = append(out, o)
		}
	}
	return out
}

// close drops idle connections, which would otherwise outlive the pull.
func (r *registry) close() {
	for _, c := range r.clients {
		c.CloseIdleConnections()
	}
	for _, e := range r.endpoints {
		if e.host.Client != nil {
			e.host.Client.CloseIdleConnections()
		}
	}
}
