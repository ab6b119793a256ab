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

// decode decodes a JSON document of an image. The number of its values is counted first, since
// small values take much memory.
func decode(raw []byte, what string, into any) error {
	if n := jsonValues(raw); n > budget.ImageValues {
		return malformed("%s of more than %d values", what, budget.ImageValues)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return malformed("%s: %v", what, err)
	}
	return nil
}

// jsonValues counts the values of a JSON document from above, in one pass: each follows a bracket,
// comma or colon.
func jsonValues(raw []byte) int {
	n, quoted := 0, false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ',' || c == ':' || c == '[' || c == '{'):
			n++
		}
	}
	return n
}

// parseIndex decodes an OCI image index or a Docker manifest list. Entries that are of no use are
// no fault of the others: selectManifests leaves them out.
func parseIndex(raw []byte) (ocispec.Index, error) {
	var idx ocispec.Index
	if err := decode(raw, "index", &idx); err != nil {
		return idx, err
	}
	if len(idx.Manifests) > budget.IndexEntries {
		return idx, malformed("an index of %d manifests, more than %d", len(idx.Manifests), budget.IndexEntries)
	}
	return idx, nil
}

// parseManifest decodes an OCI image manifest or a Docker schema 2 manifest and
// checks that it describes a runnable image.
func parseManifest(raw []byte) (ocispec.Manifest, error) {
	var m ocispec.Manifest
	if err := decode(raw, "manifest", &m); err != nil {
		return m, err
	}
	if err := checkDescriptor(m.Config, budget.ImageConfig); err != nil {
		return m, malformed("manifest, config: %v", err)
	}
	if !images.IsConfigType(m.Config.MediaType) {
		return m, malformed("the configuration has media type %q, which is an artifact but no container image", m.Config.MediaType)
	}
	if len(m.Layers) > budget.ImageLayers {
		return m, malformed("%d layers, more than %d", len(m.Layers), budget.ImageLayers)
	}
	for i, l := range m.Layers {
		if err := checkDescriptor(l, budget.ImageLayer); err != nil {
			return m, malformed("manifest, layer %d: %v", i, err)
		}
		if !images.IsLayerType(l.MediaType) {
			return m, malformed("layer %d has media type %q, which is no file system layer", i, l.MediaType)
		}
	}
	return m, nil
}

// checkDescriptor refuses what no content can have.
func checkDescriptor(d ocispec.Descriptor, limit int64) error {
	if err := d.Digest.Validate(); err != nil {
		return fmt.Errorf("digest %q: %v", d.Digest, err)
	}
	if d.Size <= 0 {
		return fmt.Errorf("size %d", d.Size)
	}
	if d.Size > limit {
		return fmt.Errorf("size %d is over the limit of %d", d.Size, limit)
	}
	return nil
}

// parseConfig decodes an image configuration and checks it against the number of
// layers of its manifest. What no container needs (history, labels) is not kept: see keptConfig.
func parseConfig(raw []byte, layers int) (ocispec.Image, error) {
	var c ocispec.Image
	if err := decode(raw, "configuration", &c); err != nil {
		return c, err
	}
	if t := c.RootFS.Type; t != "" && t != "layers" {
		return c, malformed("configuration: rootfs type %q", t)
	}
	if len(c.RootFS.DiffIDs) != layers {
		return c, malformed("the configuration lists %d diff_ids and the manifest %d layers", len(c.RootFS.DiffIDs), layers)
	}
	for i, d := range c.RootFS.DiffIDs {
		if err := d.Validate(); err != nil {
			return c, malformed("configuration: diff_id %d %.100q: %v", i, string(d), err)
		}
	}
	return keptConfig(c)
}

// keptConfig is the part of a configuration that is kept in memory as long as the image is here.
func keptConfig(c ocispec.Image) (ocispec.Image, error) {
	kept := ocispec.Image{
		Platform: ocispec.Platform{Architecture: c.Architecture, OS: c.OS, Variant: c.Variant, OSVersion: c.OSVersion},
		RootFS:   c.RootFS,
		Config: ocispec.ImageConfig{
			User: c.Config.User, Env: c.Config.Env, Entrypoint: c.Config.Entrypoint, Cmd: c.Config.Cmd,
			Volumes: c.Config.Volumes, WorkingDir: c.Config.WorkingDir, StopSignal: c.Config.StopSignal,
		},
	}
	size := 0
	add := func(texts ...string) {
		for _, t := range texts {
			size += len(t) + budget.ImageKeptEntry
		}
	}
	add(c.Architecture, c.OS, c.Variant, c.OSVersion, c.Config.User, c.Config.WorkingDir, c.Config.StopSignal)
	add(c.Config.Env...)
	add(c.Config.Entrypoint...)
	add(c.Config.Cmd...)
	for v := range c.Config.Volumes {
		add(v)
	}
	if size > budget.ImageKept {
		return kept, malformed("environment, command and volumes of the configuration take %d bytes, more than %d", size, budget.ImageKept)
	}
	return kept, nil
}

// keptDescriptor is the part of a descriptor that is kept in memory.
func keptDescriptor(d ocispec.Descriptor) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}
}

func keptDescriptors(all []ocispec.Descriptor) []ocispec.Descriptor {
	out := make([]ocispec.Descriptor, len(all))
	for i, d := range all {
		out[i] = keptDescriptor(d)
	}
	return out
}

// chainID names the top snapshot of a configuration, "" without layers.
func chainID(c ocispec.Image) string {
	if len(c.RootFS.DiffIDs) == 0 {
		return ""
	}
	return identity.ChainID(c.RootFS.DiffIDs).String()
}

// usable reports whether an entry of an index can be an image: what other entries an index has
// (attestations, artifacts, digests of tomorrow's algorithms) is no concern of this node.
func usable(d ocispec.Descriptor) bool {
	return (images.IsManifestType(d.MediaType) || images.IsIndexType(d.MediaType)) &&
		(d.ArtifactType == "" || images.IsConfigType(d.ArtifactType)) &&
		(d.Platform == nil || d.Platform.OS != "unknown") && checkDescriptor(d, budget.RegistryManifest) == nil
}

// selectManifests returns those children of an index that fit the platform, best
// first. None is an error that says what there is.
func selectManifests(idx ocispec.Index, want platforms.MatchComparer, wantText string) ([]ocispec.Descriptor, error) {
	var fit []ocispec.Descriptor
	var have []string
	for _, d := range idx.Manifests {
		if !usable(d) {
			continue
		}
		if d.Platform == nil {
			fit = append(fit, d)
			continue
		}
		if len(have) < maxShownPlatforms {
			have = append(have, printable([]byte(platforms.Format(*d.Platform)), maxShownPlatform))
		}
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

// How much of an index stands in an error.
const (
	maxShownPlatforms = 20
	maxShownPlatform  = 60 // bytes
)

// checkPlatform refuses a configuration for another platform, if it is that alone which says what
// the image is for: an index named the image without a platform. What an index, a digest or a tag
// chose is taken as it is, as containerd does; configurations often are wrong about this, or name
// a newer variant than this machine's. Images that do not say what they are for are let through.
func checkPlatform(c ocispec.Image, chosen bool, want platforms.MatchComparer, wantText string) error {
	if chosen || c.Architecture == "" && c.OS == "" {
		return nil
	}
	if want.Match(platforms.Normalize(c.Platform)) {
		return nil
	}
	return fmt.Errorf("the image is for platform %s, this node runs %s: %w",
		printable([]byte(platforms.Format(c.Platform)), maxShownPlatform), wantText, errdefs.ErrNotFound)
}
