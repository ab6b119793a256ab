package imageservice

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-run/berth/internal/budget"
)

// resolve asks the hosts in turn what the reference stands for. The first answer
// counts; the error has what each of them said.
func (p *pull) resolve(ctx context.Context) (ocispec.Descriptor, error) {
	caps := docker.HostCapabilityPull | docker.HostCapabilityResolve
	if _, byDigest := p.named.(reference.Digested); byDigest {
		caps = docker.HostCapabilityPull
	}
	hosts := p.reg.withCapability(caps)
	failed := &RegistryError{What: "manifest of " + p.ref}
	for _, e := range hosts {
		hctx, cancel := context.WithTimeout(ctx, p.s.opts.ResolveTimeout)
		_, desc, err := e.resolver.Resolve(e.guarded(hctx), p.ref)
		timedOut := hctx.Err() == context.DeadlineExceeded
		cancel()
		if err == nil {
			err = checkResolved(desc)
		}
		if err == nil {
			p.reg.prefer(e)
			p.progress.setHost(e.name())
			return desc, nil
		}
		if ctx.Err() != nil {
			return ocispec.Descriptor{}, context.Cause(ctx)
		}
		if timedOut {
			err = fmt.Errorf("no answer within %s: %w", p.s.opts.ResolveTimeout, context.DeadlineExceeded)
		}
		failed.Hosts = append(failed.Hosts, p.hostFailed(e, failed.What, err))
	}
	return ocispec.Descriptor{}, failed
}

// checkResolved refuses an answer that is no image, before anything is fetched.
func checkResolved(desc ocispec.Descriptor) error {
	if err := checkDescriptor(desc, budget.RegistryManifest); err != nil {
		return malformed("manifest: %v", err)
	}
	if !images.IsManifestType(desc.MediaType) && !images.IsIndexType(desc.MediaType) {
		return malformed("media type %q is neither an image manifest nor an index", desc.MediaType)
	}
	return nil
}

// hostFailed records the failure of one host.
func (p *pull) hostFailed(e *endpoint, what string, err error) HostError {
	he := hostError(e.name(), what, err)
	if f := p.s.opts.Hooks.HostFailed; f != nil {
		f(e.name(), he.Reason)
	}
	p.log.V(2).Info("Registry host failed", "host", e.name(), "what", what, "reason", he.Reason, "err", he.Err)
	return he
}
