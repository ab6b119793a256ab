package imageservice

import (
	"encoding/json"
	"fmt"
	"sort"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-run/berth/internal/budget"
)

// Limits on what is read into memory. Registries are not trusted.
const (
	maxManifestSize = budget.RegistryManifest
	maxConfigSize   = 8 << 20
	maxLayers       = 512
	maxIndexDepth   = 4
)

// parseIndex decodes an OCI image index or a Docker manifest list.
func parseIndex(raw []byte) (ocispec.Index, error) {
	var idx ocispec.Index
	if err := json.Unmarshal(raw, &idx); err != nil {
		return idx, malformed("index: %v", err)
	}
	for i, m := range idx.Manifests {
		if err := checkDescriptor(m, maxManifestSize); err != nil {
			return idx, malformed("index, manifest %d: %v", i, err)
		}
	}
	return idx, nil
}

// parseManifest decodes an OCI image manifest or a Docker schema 2 manifest and
// checks that it describes a runnable image.
func parseManifest(raw []byte) (ocispec.Manifest, error) {
	var m ocispec.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return m, malformed("manifest: %v", err)
	}
	if err := checkDescriptor(m.Config, maxConfigSize); err != nil {
		return m, malformed("manifest, config: %v", err)
	}
	if !images.IsConfigType(m.Config.MediaType) {
		return m, malformed("the configuration has media type %q, which is an artifact but no container image", m.Config.MediaType)
	}
	if len(m.Layers) > maxLayers {
		return m, malformed("%d layers, more than %d", len(m.Layers), maxLayers)
	}
	for i, l := range m.Layers {
		if err := checkDescriptor(l, 0); err != nil {
			return m, malformed("manifest, layer %d: %v", i, err)
		}
		if !images.IsLayerType(l.MediaType) {
			return m, malformed("layer %d has media type %q, which is no file system layer", i, l.MediaType)
		}
	}
	return m, nil
}

// checkDescriptor refuses what no content can have; limit 0 means none.
func checkDescriptor(d ocispec.Descriptor, limit int64) error {
	if err := d.Digest.Validate(); err != nil {
		return fmt.Errorf("digest %q: %v", d.Digest, err)
	}
	if d.Size <= 0 {
		return fmt.Errorf("size %d", d.Size)
	}
	if limit > 0 && d.Size > limit {
		return fmt.Errorf("size %d is over the limit of %d", d.Size, limit)
	}
	return nil
}

// parseConfig decodes an image configuration and checks it against the number of
// layers of its manifest.
func parseConfig(raw []byte, layers int) (ocispec.Image, error) {
	var c ocispec.Image
	if err := json.Unmarshal(raw, &c); err != nil {
		return c, malformed("configuration: %v", err)
	}
	if t := c.RootFS.Type; t != "" && t != "layers" {
		return c, malformed("configuration: rootfs type %q", t)
	}
	if len(c.RootFS.DiffIDs) != layers {
		return c, malformed("the configuration lists %d diff_ids and the manifest %d layers", len(c.RootFS.DiffIDs), layers)
	}
	for i, d := range c.RootFS.DiffIDs {
		if err := d.Validate(); err != nil {
			return c, malformed("configuration: diff_id %d %q: %v", i, d, err)
		}
	}
	return c, nil
}

// chainID names the top snapshot of a configuration, "" without layers.
func chainID(c ocispec.Image) string {
	if len(c.RootFS.DiffIDs) == 0 {
		return ""
	}
	return identity.ChainID(c.RootFS.DiffIDs).String()
}

// selectManifests returns those children of an index that fit the platform, best
// first. None is an error that says what there is.
func selectManifests(idx ocispec.Index, want platforms.MatchComparer, wantText string) ([]ocispec.Descriptor, error) {
	var fit []ocispec.Descriptor
	var have []string
	for _, d := range idx.Manifests {
		if !images.IsManifestType(d.MediaType) && !images.IsIndexType(d.MediaType) {
			continue
		}
		if d.Platform == nil {
			fit = append(fit, d)
			continue
		}
		if d.Platform.OS == "unknown" {
			continue // attestations
		}
		have = append(have, platforms.Format(*d.Platform))
		if want.Match(*d.Platform) {
			fit = append(fit, d)
		}
	}
	if len(fit) == 0 {
		return nil, fmt.Errorf("the image has nothing for platform %s, only %s: %w", wantText, listOr(have, "no platform at all"), errdefs.ErrNotFound)
	}
	sort.SliceStable(fit, func(i, j int) bool {
		a, b := fit[i].Platform, fit[j].Platform
		if a == nil || b == nil {
			return a != nil
		}
		return want.Less(*a, *b)
	})
	return fit, nil
}

func listOr(items []string, empty string) string {
	if len(items) == 0 {
		return empty
	}
	return strings.Join(items, ", ")
}

// checkPlatform refuses a configuration for another platform. Images that do not
// say what they are for are let through.
func checkPlatform(c ocispec.Image, want platforms.MatchComparer, wantText string) error {
	if c.Architecture == "" && c.OS == "" {
		return nil
	}
	if want.Match(platforms.Normalize(c.Platform)) {
		return nil
	}
	return fmt.Errorf("the image is for platform %s, this node runs %s: %w", platforms.Format(c.Platform), wantText, errdefs.ErrNotFound)
}
