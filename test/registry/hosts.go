package registry

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Mirror is one place in a hosts.toml.
type Mirror struct {
	// URL of the mirror, with the path under which it answers for /v2.
	URL string
	// CA is the PEM certificate to trust; nil for the system's.
	CA []byte
}

// Mirror returns the place of this registry that has the images of an upstream
// registry, for example registry.k8s.io.
func (r *Registry) Mirror(upstream string) Mirror {
	return Mirror{URL: r.URL() + "/v2/" + upstream, CA: r.CAPEM()}
}

// WriteHosts makes this registry the only place where images of the upstream
// registries are looked for, in the certs.d directory dir. With TLS it also
// makes the registry's own name, Host, trusted.
func (r *Registry) WriteHosts(dir string, upstreams ...string) error {
	for _, upstream := range upstreams {
		if err := WriteHosts(dir, upstream, r.Mirror(upstream)); err != nil {
			return err
		}
	}
	if !r.opts.TLS {
		return nil
	}
	return WriteHosts(dir, r.Host(), Mirror{URL: r.URL() + "/v2", CA: r.CAPEM()})
}

// WriteHosts writes DIR/UPSTREAM/hosts.toml with the mirrors in their order. The last
// is written as the server itself, so that the real one is never asked.
func WriteHosts(dir, upstream string, mirrors ...Mirror) error {
	hostDir := filepath.Join(dir, upstream)
	if err := os.MkdirAll(hostDir, 0o755); err != nil {
		return fmt.Errorf("writing hosts.toml of %s: %w", upstream, err)
	}
	if len(mirrors) == 0 {
		return fmt.Errorf("writing hosts.toml of %s: no mirror given", upstream)
	}
	var toml strings.Builder
	last := len(mirrors) - 1
	for n, mirror := range append([]Mirror{mirrors[last]}, mirrors[:last]...) {
		if n == 0 {
			fmt.Fprintf(&toml, "server = %q\n", mirror.URL)
		} else {
			fmt.Fprintf(&toml, "\n[host.%q]\n", mirror.URL)
		}
		toml.WriteString("override_path = true\ncapabilities = [\"pull\", \"resolve\"]\n")
		if mirror.CA == nil {
			continue
		}
		ca := filepath.Join(hostDir, fmt.Sprintf("ca-%d.crt", n))
		if err := os.WriteFile(ca, mirror.CA, 0o644); err != nil {
			return fmt.Errorf("writing the CA of %s: %w", upstream, err)
		}
		fmt.Fprintf(&toml, "ca = %q\n", ca)
	}
	if err := os.WriteFile(filepath.Join(hostDir, "hosts.toml"), []byte(toml.String()), 0o644); err != nil {
		return fmt.Errorf("writing hosts.toml of %s: %w", upstream, err)
	}
	return nil
}
