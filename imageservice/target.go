package imageservice

import (
	"context"
	"fmt"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-run/berth/internal/budget"
	"github.com/berth-run/berth/internal/report"
)

// target is what the content behind an image record says, read once.
type target struct {
	desc       ocispec.Descriptor
	manifest   ocispec.Descriptor
	layers     []ocispec.Descriptor
	config     ocispec.Image // what containers need of it
	configSize int64
	id         string
	notes      map[string]string // annotations of the manifest, as far as they are reported
	// unpacked: it was checked that the layers unpack to what the configuration says.
	unpacked bool
}

// size is what the image takes as content.
func (t *target) size() uint64 {
	n := uint64(t.manifest.Size) + uint64(t.configSize)
	for _, l := range t.layers {
		n += uint64(l.Size)
	}
	return n
}

// loadTarget reads manifest and configuration for this platform from the content
// store. ErrNotFound when they are not there (a record of another platform, or a
// pull by another tool that is not done).
func (s *Service) loadTarget(ctx context.Context, desc ocispec.Descriptor) (*target, error) {
	return s.loadTargetAt(ctx, desc, desc, 0, true)
}

func (s *Service) loadTargetAt(ctx context.Context, root, desc ocispec.Descriptor, depth int, chosen bool) (*target, error) {
	if depth > budget.IndexDepth {
		return nil, malformed("indexes nested more than %d deep", budget.IndexDepth)
	}
	raw, err := readSmall(ctx, s.client.ContentStore(), desc, budget.RegistryManifest)
	if err != nil {
		return nil, err
	}
	if images.IsIndexType(desc.MediaType) {
		idx, err := parseIndex(raw)
		if err != nil {
			return nil, err
		}
		fit, err := selectManifests(idx, s.platform, s.platformText)
		if err != nil {
			return nil, err
		}
		// An import may hold fewer platforms than its index names.
		var first error
		for _, d := range fit {
			t, err := s.loadTargetAt(ctx, root, d, depth+1, d.Platform != nil)
			if err == nil {
				return t, nil
			}
			if first == nil {
				first = err
			}
		}
		return nil, first
	}
	if !images.IsManifestType(desc.MediaType) {
		return nil, malformed("media type %q is neither manifest nor index", desc.MediaType)
	}
	return s.loadManifest(ctx, root, desc, raw, chosen)
}

func (s *Service) loadManifest(ctx context.Context, root, desc ocispec.Descriptor, raw []byte, chosen bool) (*target, error) {
	m, err := parseManifest(raw)
	if err != nil {
		return nil, err
	}
	rawConfig, err := readSmall(ctx, s.client.ContentStore(), m.Config, budget.ImageConfig)
	if err != nil {
		return nil, err
	}
	c, err := parseConfig(rawConfig, len(m.Layers))
	if err != nil {
		return nil, err
	}
	if err := checkPlatform(c, chosen, s.platform, s.platformText); err != nil {
		return nil, err
	}
	return &target{
		desc: keptDescriptor(root), manifest: keptDescriptor(desc), layers: keptDescriptors(m.Layers),
		config: c, configSize: m.Config.Size,
		id: m.Config.Digest.String(), notes: report.Annotations(m.Annotations), unpacked: s.wasUnpacked(ctx, m.Config, chainID(c)),
	}, nil
}

// snapshotRefLabel and the name of a snapshotter are the label of a configuration that names the
// snapshot of the uppermost layer.
const snapshotRefLabel = "containerd.io/gc.ref.snapshot."

// wasUnpacked reports whether containerd's unpacker noted on a configuration that its layers are
// snapshots, which it does after it has checked what they unpack to.
func (s *Service) wasUnpacked(ctx context.Context, config ocispec.Descriptor, chain string) bool {
	info, err := s.client.ContentStore().Info(ctx, config.Digest)
	if err != nil {
		return false
	}
	for key, value := range info.Labels {
		if strings.HasPrefix(key, snapshotRefLabel) && value == chain {
			return true
		}
	}
	return false
}

// readSmall reads a blob that has to fit in memory.
func readSmall(ctx context.Context, cs content.Provider, desc ocispec.Descriptor, limit int64) ([]byte, error) {
	if desc.Size > limit {
		return nil, malformed("%s of %d bytes, more than %d", desc.MediaType, desc.Size, limit)
	}
	ra, err := cs.ReaderAt(ctx, desc)
	if errdefs.IsNotFound(err) {
		return nil, fmt.Errorf("content %s (%s) is not in the store: %w", desc.Digest, desc.MediaType, errdefs.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s (%s): %w", desc.Digest, desc.MediaType, err)
	}
	defer ra.Close()
	if ra.Size() != desc.Size {
		return nil, malformed("%s has %d bytes, not %d", desc.Digest, ra.Size(), desc.Size)
	}
	raw := make([]byte, desc.Size)
	if n, err := ra.ReadAt(raw, 0); n < len(raw) {
		return nil, fmt.Errorf("reading %s (%s): %w", desc.Digest, desc.MediaType, err)
	}
	return raw, nil
}
