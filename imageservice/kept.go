package imageservice

import (
	"context"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/pkg/labels"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// layerPair is a compressed layer and the digest of what is in it.
type layerPair struct{ layer, diffID digest.Digest }

// checkKept checks the layers that this pull did not unpack, since their snapshots were on the
// node. The snapshot is found by the digest in the configuration, which whoever made the image
// can choose: that the layer, which the registry has, unpacks to this digest must be known, or
// is found out now.
func (f *fetcher) checkKept(ctx context.Context) error {
	for i, l := range f.t.layers {
		pair := layerPair{l.Digest, f.t.config.RootFS.DiffIDs[i]}
		if f.applied[pair] || f.p.s.idx.unpacksTo(pair.layer, pair.diffID) {
			continue
		}
		info, err := f.p.s.client.ContentStore().Info(ctx, l.Digest)
		if err != nil {
			return fmt.Errorf("looking for layer %s: %w", l.Digest, err)
		}
		if info.Labels[labels.LabelUncompressed] == pair.diffID.String() {
			continue
		}
		if err := f.checkContent(ctx, l, pair.diffID); err != nil {
			return err
		}
		f.applied[pair] = true
	}
	return nil
}

// checkContent decompresses a layer only to see that it has the digest that the configuration wants.
func (f *fetcher) checkContent(ctx context.Context, layer ocispec.Descriptor, want digest.Digest) error {
	slot := &slot{sem: f.p.s.applying}
	if err := slot.acquire(ctx); err != nil {
		return err
	}
	defer slot.release()
	ra, err := f.p.s.client.ContentStore().ReaderAt(ctx, layer)
	if err != nil {
		return fmt.Errorf("reading layer %s: %w", layer.Digest, err)
	}
	defer ra.Close()
	plain, err := f.decoders.open(io.NopCloser(content.NewReader(ra)))
	if err != nil {
		return unpackError(ctx, layer, err)
	}
	defer plain.Close()
	digester := want.Algorithm().Digester()
	if _, err := io.Copy(digester.Hash(), readerOf(ctx, plain)); err != nil {
		return unpackError(ctx, layer, err)
	}
	if got := digester.Digest(); got != want {
		return malformed("layer %s unpacks to diff_id %s, the configuration wants %s", layer.Digest, got, want)
	}
	return nil
}

// keptUnpacked reports whether a layer that the content store no longer has need not be
// downloaded: it was unpacked, its snapshot is here, and the registry shows that it has it.
func (f *fetcher) keptUnpacked(ctx context.Context, desc ocispec.Descriptor) (bool, error) {
	if !f.p.s.opts.DiscardUnpackedLayers {
		return false, nil
	}
	if _, err := f.p.s.client.ContentStore().Info(ctx, desc.Digest); !errdefs.IsNotFound(err) {
		return false, err
	}
	f.mu.Lock()
	layers, ids := f.t.layers, f.t.config.RootFS.DiffIDs
	f.mu.Unlock()
	for i, l := range layers {
		if l.Digest != desc.Digest {
			continue
		}
		if !f.p.s.idx.unpacksTo(l.Digest, ids[i]) {
			return false, nil
		}
		chain := identity.ChainID(ids[:i+1]).String()
		if _, err := f.p.s.client.SnapshotService(f.p.snapshotter).Stat(ctx, chain); err != nil {
			return false, ignoreGone(err)
		}
	}
	return f.p.shown(ctx, desc, content.Info{})
}

// readerOf ends with the context.
func readerOf(ctx context.Context, r io.Reader) io.Reader { return contextReader{ctx, r} }

type contextReader struct {
	ctx context.Context
	r   io.Reader
}

// Read implements io.Reader.
func (c contextReader) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(p)
}
