package imageservice

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	dockerconfig "github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/pelletier/go-toml/v2"
)

// endpoint is one registry host a reference can be pulled from.
type endpoint struct {
	name     string // scheme://host
	host     docker.RegistryHost
	resolver remotes.Resolver
	fetcher  remotes.Fetcher
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
	if err := checkHostsFile(s.opts.RegistryConfigDir, domain); err != nil {
		return nil, err
	}
	r := &registry{ref: named.String()}
	hosts, err := dockerconfig.ConfigureHosts(ctx, dockerconfig.HostOptions{
		HostDir:     dockerconfig.HostDirFromRoot(s.opts.RegistryConfigDir),
		Credentials: creds.forHost,
		UpdateClient: func(c *http.Client) error {
			// Copied: the library may put another transport around it.
			r.clients = append(r.clients, &http.Client{Transport: c.Transport})
			return nil
		},
	})(domain)
	if err != nil {
		return nil, fmt.Errorf("registry configuration for %s in %s: %v: %w", domain, s.opts.RegistryConfigDir, err, errdefs.ErrInvalidArgument)
	}
	for _, h := range hosts {
		if err := r.add(ctx, h, creds, s.opts.UserAgent); err != nil {
			return nil, err
		}
	}
	if len(r.endpoints) == 0 {
		return nil, fmt.Errorf("registry configuration for %s in %s leaves no host to pull from: %w", domain, s.opts.RegistryConfigDir, errdefs.ErrFailedPrecondition)
	}
	return r, nil
}

func (r *registry) add(ctx context.Context, h docker.RegistryHost, creds credentials, userAgent string) error {
	if creds.bearer != "" && creds.appliesTo(h.Host) {
		h.Authorizer = bearerAuthorizer{host: h.Host, token: creds.bearer}
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
		name: h.Scheme + "://" + h.Host, host: h, resolver: resolver, fetcher: fetcher,
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

// hostsTable are the keys a hosts.toml may have at the top and per host.
type hostsTable struct {
	Capabilities []string       `toml:"capabilities"`
	CA           any            `toml:"ca"`
	Client       any            `toml:"client"`
	SkipVerify   *bool          `toml:"skip_verify"`
	Header       map[string]any `toml:"header"`
	OverridePath bool           `toml:"override_path"`
	DialTimeout  string         `toml:"dial_timeout"`
}

type hostsFile struct {
	hostsTable
	Server string                `toml:"server"`
	Host   map[string]hostsTable `toml:"host"`
}

// checkHostsFile refuses a hosts.toml with mistakes. The library would log them
// and go on as if the file were not there, straight to the upstream registry.
func checkHostsFile(root, domain string) error {
	dir, err := dockerconfig.HostDirFromRoot(root)(domain)
	if err != nil || dir == "" {
		return nil
	}
	path := filepath.Join(dir, "hosts.toml")
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	var parsed hostsFile
	err = toml.NewDecoder(f).DisallowUnknownFields().Decode(&parsed)
	if err == nil {
		return nil
	}
	detail := err.Error()
	var strict *toml.StrictMissingError
	var decode *toml.DecodeError
	switch {
	case errors.As(err, &strict) && len(strict.Errors) > 0:
		row, _ := strict.Errors[0].Position()
		detail = fmt.Sprintf("line %d: unknown key %q", row, strings.Join(strict.Errors[0].Key(), "."))
	case errors.As(err, &decode):
		row, _ := decode.Position()
		detail = fmt.Sprintf("line %d: %v", row, decode)
	}
	return fmt.Errorf("registry configuration %s: %s: %w", path, detail, errdefs.ErrInvalidArgument)
}
