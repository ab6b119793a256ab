package imageservice

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/unpack"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/semaphore"

	"github.com/berth-run/berth/internal/budget"
)

// fetchAndUnpack brings the content and the snapshots of an image, layers side by
// side: each is unpacked as soon as it is here, and the snapshots are linked in
// order at the end (where the snapshotter can do so). The first error ends all
// of it, and nothing runs any more when it returns.
func (p *pull) fetchAndUnpack(ctx context.Context, desc ocispec.Descriptor) (*target, error) {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	f := newFetcher(ctx, p, fail)
	defer f.disk.close()
	f.t.desc = keptDescriptor(desc)
	u, err := p.newUnpacker(ctx, f)
	if err != nil {
		return nil, err
	}
	err = images.Dispatch(ctx, u.Unpack(images.HandlerFunc(f.handle)), nil, desc)
	if err != nil {
		fail(err)
	}
	_, uerr := u.Wait()
	if err == nil {
		err = uerr
	}
	if err != nil {
		fail(err)
	}
	f.wg.Wait()
	f.drop()
	if err != nil {
		if c := context.Cause(ctx); c != nil {
			err = c // the first error, not one that followed from it
		}
		return nil, err
	}
	if f.t.id == "" || !f.configured {
		return nil, malformed("no image manifest behind %s", desc.Digest)
	}
	if err := f.checkKept(ctx); err != nil {
		return nil, err
	}
	f.t.unpacked = true
	return &f.t, f.disk.sync()
}

// newUnpacker sets up containerd's unpacker for this pull.
func (p *pull) newUnpacker(ctx context.Context, f *fetcher) (*unpack.Unpacker, error) {
	s := p.s
	caps, err := s.client.GetSnapshotterCapabilities(ctx, p.snapshotter)
	if err != nil {
		return nil, fmt.Errorf("snapshotter %q: %w", p.snapshotter, err)
	}
	opts := []unpack.UnpackerOpt{
		unpack.WithUnpackPlatform(unpack.Platform{
			SnapshotterKey:          p.snapshotter,
			Snapshotter:             layerSnapshots{s.client.SnapshotService(p.snapshotter), &f.implied},
			SnapshotterCapabilities: caps,
			Applier:                 &applier{f: f, next: s.client.DiffService()},
		}),
		unpack.WithDuplicationSuppressor(p.locks()),
		// Layers whose snapshots are here are handled too: that the registry has them must be shown.
		unpack.WithFetchAllContent(),
	}
	if !s.opts.DisableStreaming {
		// A limit is what makes it unpack layers side by side. It holds it while a layer is still on its way,
		// so it bounds nothing here; what bounds the work is in fetcher and applier. What containerd
		// unpacks does not tell what it implies: if that is every layer, it is done one after the other.
		opts = append(opts, unpack.WithUnpackLimiter(semaphore.NewWeighted(budget.ImageLayers)))
	}
	return unpack.NewUnpacker(ctx, s.client.ContentStore(), opts...)
}

// layerSnapshots is the snapshotter that a pull's layers are unpacked into.
type layerSnapshots struct {
	snapshots.Snapshotter
	implied *impliedDirs
}

// Remove implements snapshots.Snapshotter. It does not mind removing what is gone: after a failure
// the unpacker removes its snapshots twice, and reports the second time as an error.
func (l layerSnapshots) Remove(ctx context.Context, key string) error {
	return ignoreGone(l.Snapshotter.Remove(ctx, key))
}

// Commit implements snapshots.Snapshotter. A layer that was unpacked alone is put on its parent, which is there by now.
func (l layerSnapshots) Commit(ctx context.Context, name, key string, opts ...snapshots.Opt) error {
	var info snapshots.Info
	for _, opt := range opts {
		if err := opt(&info); err != nil {
			return err
		}
	}
	if err := l.implied.complete(ctx, l.Snapshotter, key, info.Parent); err != nil {
		return err
	}
	return l.Snapshotter.Commit(ctx, name, key, opts...)
}

// EnsureUnpacked makes sure that the image's layers are snapshots of snapshotter
// ("" for the default one), which is not so for images that ctr imported. The
// parent for a container's snapshot is then img.ChainID.
func (s *Service) EnsureUnpacked(ctx context.Context, img *Image, snapshotter string) error {
	ctx = s.withNamespace(ctx)
	setDefault(&snapshotter, s.opts.Snapshotter)
	if img.ChainID == "" {
		return nil
	}
	sn := s.client.SnapshotService(snapshotter)
	if _, err := sn.Stat(ctx, img.ChainID); err == nil {
		return nil
	} else if !errdefs.IsNotFound(err) {
		return fmt.Errorf("looking for snapshot %s of image %s: %w", img.ChainID, img.ID, err)
	}
	key := "unpack://" + snapshotter + "/" + img.ChainID
	if err := s.locks.Lock(ctx, key); err != nil {
		return err
	}
	defer s.locks.Unlock(key)
	// What is begun is finished: a caller that gives up tries again, and finds
	// it done.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.PullTimeout)
	defer cancel()
	if err := s.unpackStored(ctx, img, snapshotter); err != nil {
		if errdefs.IsNotFound(err) {
			return fmt.Errorf("unpacking image %s for snapshotter %q: its layers are not on this node, pull it again: %w", img.Name(), snapshotter, err)
		}
		return fmt.Errorf("unpacking image %s for snapshotter %q: %w", img.Name(), snapshotter, err)
	}
	return nil
}
