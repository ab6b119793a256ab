package imageservice

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/labels"
	"github.com/containerd/containerd/v2/pkg/rootfs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// unpackStored unpacks an image whose content is on the node, one layer after the other, within the bounds of a pull.
// Snapshots that are there already are kept.
func (s *Service) unpackStored(ctx context.Context, img *Image, snapshotter string) error {
	ctx, done, err := s.client.WithLease(ctx)
	if err != nil {
		return err
	}
	defer done(context.WithoutCancel(ctx)) //nolint:errcheck // it expires
	diffIDs := img.Config.RootFS.DiffIDs
	if len(diffIDs) != len(img.Layers) {
		return malformed("the manifest has %d layers, the configuration %d", len(img.Layers), len(diffIDs))
	}
	a := &storedApplier{s: s, room: allowance{max: s.opts.MaxUnpackedSize}}
	defer a.disk.close()
	sn := s.client.SnapshotService(snapshotter)
	var chain []digest.Digest
	for n, blob := range img.Layers {
		layer := rootfs.Layer{Diff: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: diffIDs[n]}, Blob: blob}
		applied, err := rootfs.ApplyLayerWithOpts(ctx, layer, chain, sn, a, nil, nil)
		if err == nil && applied {
			err = s.label(ctx, blob.Digest, labels.LabelUncompressed, diffIDs[n].String())
		}
		if err != nil {
			return err
		}
		chain = append(chain, diffIDs[n])
	}
	// The configuration holds the snapshots against containerd's garbage collection.
	return s.label(ctx, digest.Digest(img.ID), "containerd.io/gc.ref.snapshot."+snapshotter, img.ChainID)
}

func (s *Service) label(ctx context.Context, blob digest.Digest, key, value string) error {
	info := content.Info{Digest: blob, Labels: map[string]string{key: value}}
	if _, err := s.client.ContentStore().Update(ctx, info, "labels."+key); err != nil {
		return fmt.Errorf("label %s: %w", blob, err)
	}
	return nil
}

// storedApplier unpacks layers from the content store.
type storedApplier struct {
	s        *Service
	room     allowance
	decoders decoders
	disk     disk
}

// Apply implements diff.Applier. The files are on disk when it returns, for the snapshot counts as complete then.
func (a *storedApplier) Apply(ctx context.Context, desc ocispec.Descriptor, mounts []mount.Mount, opts ...diff.ApplyOpt) (ocispec.Descriptor, error) {
	if err := a.s.applying.Acquire(ctx, 1); err != nil {
		return ocispec.Descriptor{}, err
	}
	defer a.s.applying.Release(1)
	dir, ok := layerDirOf(mounts)
	dir.room = a.room.layer()
	if !ok || !readable(desc.MediaType) || a.s.opts.DisableStreaming {
		if err := a.s.inspectLayer(ctx, desc, dir.room, &a.decoders); err != nil {
			return ocispec.Descriptor{}, unpackError(ctx, desc, err)
		}
		d, err := a.s.client.DiffService().Apply(ctx, desc, mounts, append(opts, diff.WithSyncFs(true))...)
		return d, unpackError(ctx, desc, err)
	}
	if err := a.disk.note(dir.path); err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("unpacking layer %s: %w", desc.Digest, err)
	}
	r, err := a.s.layerReader(ctx, desc)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	defer r.Close()
	d, err := applyLayer(ctx, dir, r, &a.decoders)
	if err != nil {
		return d, unpackError(ctx, desc, err)
	}
	return d, a.disk.sync()
}

// layerReader reads a layer from the content store.
func (s *Service) layerReader(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	ra, err := s.client.ContentStore().ReaderAt(ctx, desc)
	if err != nil {
		return nil, fmt.Errorf("reading layer %s: %w", desc.Digest, err)
	}
	return struct {
		io.Reader
		io.Closer
	}{content.NewReader(ra), ra}, nil
}

// inspectLayer reads the entries of a layer that containerd is going to unpack, and refuses it if one of them, or
// all together, cost more than they may: containerd itself has no bounds. A layer that only a stream processor
// of containerd's can read, an encrypted one, is not looked at.
func (s *Service) inspectLayer(ctx context.Context, desc ocispec.Descriptor, room *layerAllowance, z *decoders) error {
	if !readable(desc.MediaType) {
		return nil
	}
	r, err := s.layerReader(ctx, desc)
	if err != nil {
		return err
	}
	defer r.Close()
	plain, err := z.open(r)
	if err != nil {
		return err
	}
	defer plain.Close()
	a := &admission{room: room}
	for archive := tar.NewReader(room.archive(plain)); ; {
		hdr, err := archive.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err == nil:
			err = errors.Join(ctx.Err(), a.admit(hdr), a.keep())
		}
		if err != nil {
			return err
		}
	}
}
