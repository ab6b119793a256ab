package imageservice

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/pkg/labels"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A digest is no secret: it stands in manifests, logs and bills of materials. If a pull could
// use whatever the node has of a digest, then a registry that knows nothing but the digest
// would get the content of another tenant's private image. Therefore a pull uses content of
// the node only after the registry that it pulls from has shown that it has the content too:
//
//   - the same repository gave the content before: the manifest, which was asked for with the
//     credentials of this pull, shows that they are good for this repository;
//   - another repository of the same registry gave it: the registry is asked, with these
//     credentials, whether the repository has the blob (HEAD);
//   - anything else: the content is downloaded and must have the digest.

// sourceLabel is the label of content that names the repositories of one registry which gave
// it, separated by commas. containerd's label of this kind (containerd.io/distribution.source)
// is of no use here: it leaves out the port, and is set for content that was on the node anyway.
const sourceLabel = "berth.run/source."

// proof is what shows that the registry of a pull may give away some content.
type proof int

const (
	proofNone       proof = iota
	proofRegistry         // the registry gave it, from another repository
	proofRepository       // the repository gave it
)

// proofFromLabels reads a proof from the labels of content.
func proofFromLabels(l map[string]string, named reference.Named) proof {
	repos, ok := l[sourceLabel+reference.Domain(named)]
	switch {
	case !ok:
		return proofNone
	case slices.Contains(strings.Split(repos, ","), reference.Path(named)):
		return proofRepository
	}
	return proofRegistry
}

// withSource returns the value of a source label with one more repository. When a label has no
// room for it, the repositories that were named first are left out: they are asked again.
func withSource(key, old, repo string) string {
	repos := strings.Split(old, ",")
	repos = slices.DeleteFunc(repos, func(r string) bool { return r == "" || r == repo })
	repos = append(repos, repo)
	for len(repos) > 1 && labels.Validate(key, strings.Join(repos, ",")) != nil {
		repos = repos[1:]
	}
	return strings.Join(repos, ",")
}

// sourceLabels are the labels of content that the repository of a pull gave.
func sourceLabels(old map[string]string, named reference.Named) map[string]string {
	key := sourceLabel + reference.Domain(named)
	return map[string]string{key: withSource(key, old[key], reference.Path(named))}
}

// proofOf says what shows that the registry of this pull may give away content of the node:
// the content's labels, or an image of the node that came from there.
func (p *pull) proofOf(dgst digest.Digest, info content.Info) proof {
	return max(proofFromLabels(info.Labels, p.named), p.s.idx.proof(dgst, p.named))
}

// shown reports whether the registry shows, without a download, that it has content that is on
// this node.
func (p *pull) shown(ctx context.Context, desc ocispec.Descriptor, info content.Info) (bool, error) {
	switch p.proofOf(desc.Digest, info) {
	case proofRepository:
		return true, nil
	case proofRegistry:
		if p.registryHas(ctx, desc) {
			return true, p.noteSource(ctx, info)
		}
	}
	return false, nil
}

// registryHas asks the hosts whether the repository has a blob that these credentials may read.
func (p *pull) registryHas(ctx context.Context, desc ocispec.Descriptor) bool {
	for _, e := range p.reg.pullHosts() {
		f, ok := e.fetcher.(remotes.FetcherByDigest)
		if !ok {
			continue
		}
		hctx, cancel := context.WithTimeout(ctx, p.s.opts.ResolveTimeout)
		// The headers are asked for at once, the body only when it is read.
		body, got, err := f.FetchByDigest(e.guarded(hctx), desc.Digest)
		cancel()
		if err == nil {
			body.Close()
			if got.Size == desc.Size {
				return true
			}
		}
	}
	return false
}

// noteSource remembers on content of the node that the repository of this pull has it.
func (p *pull) noteSource(ctx context.Context, info content.Info) error {
	if info.Digest == "" {
		return nil // only the snapshot is here
	}
	l := sourceLabels(info.Labels, p.named)
	var fields []string
	for key := range l {
		fields = append(fields, "labels."+key)
	}
	_, err := p.s.client.ContentStore().Update(ctx, content.Info{Digest: info.Digest, Labels: l}, fields...)
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("noting where %s is from: %w", info.Digest, err)
	}
	return nil
}

// proof says what the images of the node tell about where some content is from.
func (x *index) proof(dgst digest.Digest, named reference.Named) proof {
	x.mu.RLock()
	defer x.mu.RUnlock()
	found := proofNone
	for name, r := range x.records {
		if !r.target.has(dgst) {
			continue
		}
		from, err := reference.ParseNormalizedNamed(name)
		switch {
		case err != nil || from.String() != name:
		case from.Name() == named.Name():
			return proofRepository
		case reference.Domain(from) == reference.Domain(named):
			found = proofRegistry
		}
	}
	return found
}

// unpacksTo reports whether an image of the node has this layer with this uncompressed digest,
// which was checked when the image was unpacked.
func (x *index) unpacksTo(layer, diffID digest.Digest) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	for _, r := range x.records {
		for i, l := range r.target.layers {
			if l.Digest == layer && r.target.unpacked && i < len(r.target.config.RootFS.DiffIDs) && r.target.config.RootFS.DiffIDs[i] == diffID {
				return true
			}
		}
	}
	return false
}

// has reports whether the content is part of the image.
func (t *target) has(dgst digest.Digest) bool {
	return t.desc.Digest == dgst || t.manifest.Digest == dgst || t.id == dgst.String() ||
		slices.ContainsFunc(t.layers, func(l ocispec.Descriptor) bool { return l.Digest == dgst })
}
