package imageservice

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/mount"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/semaphore"
)

// applier writes the layers of one pull to their snapshots. It is called for each
// layer right away and unpacks it while it is downloaded where it can: into a
// plain directory, in this process. Otherwise it waits for the download and
// leaves the rest to containerd.
type applier struct {
	f    *fetcher
	next diff.Applier
}

// Apply implements diff.Applier.
func (a *applier) Apply(ctx context.Context, desc ocispec.Descriptor, mounts []mount.Mount, opts ...diff.ApplyOpt) (ocispec.Descriptor, error) {
	began := time.Now()
	d, err := a.apply(ctx, desc, mounts, opts...)
	if err == nil {
		err = a.f.checkDiff(desc, d.Digest)
	}
	if err == nil {
		err = a.f.p.s.reached(ctx, pullLayerApplied)
	}
	if err != nil {
		a.f.fail(cause(ctx, err))
		return d, err
	}
	a.f.p.progress.update(func(g *Progress) { g.LayersUnpacked++ })
	if h := a.f.p.s.opts.Hooks.LayerUnpacked; h != nil {
		h(desc.Size, time.Since(began))
	}
	return d, nil
}

func (a *applier) apply(ctx context.Context, desc ocispec.Descriptor, mounts []mount.Mount, opts ...diff.ApplyOpt) (ocispec.Descriptor, error) {
	s := a.f.p.s
	stream := a.f.stream(desc)
	slot := &slot{sem: s.applying}
	defer slot.release()
	dir, ok := layerDirOf(mounts)
	dir.implied, dir.room = &a.f.implied, a.f.room.layer()
	if ok && readable(desc.MediaType) && !s.opts.DisableStreaming {
		if err := a.f.disk.note(dir.path); err != nil {
			return ocispec.Descriptor{}, fmt.Errorf("unpacking layer %s: %w", desc.Digest, err)
		}
		d, done, err := a.streamed(ctx, desc, dir, stream, slot)
		if done || err != nil {
			return d, err
		}
	} else {
		ok = false
	}
	if err := stream.wait(ctx); err != nil {
		return ocispec.Descriptor{}, err
	}
	if err := slot.acquire(ctx); err != nil {
		return ocispec.Descriptor{}, err
	}
	if ok {
		return a.stored(ctx, desc, dir)
	}
	if err := s.inspectLayer(ctx, desc, dir.room, &a.f.decoders); err != nil {
		return ocispec.Descriptor{}, unpackError(ctx, desc, err)
	}
	// In this way too, the files are on disk before the snapshot counts.
	d, err := a.next.Apply(ctx, desc, mounts, append(opts, diff.WithSyncFs(true))...)
	return d, unpackError(ctx, desc, err)
}

// streamed unpacks a layer while it arrives. It is not done when that was not
// possible, or when what came was not the layer; the directory is empty then and
// the download has gone on or begun anew.
func (a *applier) streamed(ctx context.Context, desc ocispec.Descriptor, dir layerDir, stream *layerStream, slot *slot) (ocispec.Descriptor, bool, error) {
	r := stream.attach(ctx, slot.release, func() error { return slot.acquire(ctx) })
	if r == nil {
		return ocispec.Descriptor{}, false, nil
	}
	d, err := ocispec.Descriptor{}, slot.acquire(ctx)
	if err == nil {
		d, err = applyLayer(ctx, dir, r, &a.f.decoders)
	}
	r.Close()
	slot.release()
	if localError(err) != nil {
		return d, false, unpackError(ctx, desc, err)
	}
	if werr := stream.wait(ctx); werr != nil {
		return d, false, werr
	}
	if stream.intact() {
		return d, true, unpackError(ctx, desc, err)
	}
	if err := dir.empty(); err != nil {
		return d, false, fmt.Errorf("starting over with layer %s: %w", desc.Digest, err)
	}
	dir.room.giveBack()
	return d, false, nil
}

// stored unpacks a layer from the content store.
func (a *applier) stored(ctx context.Context, desc ocispec.Descriptor, dir layerDir) (ocispec.Descriptor, error) {
	r, err := a.f.p.s.layerReader(ctx, desc)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	defer r.Close()
	d, err := applyLayer(ctx, dir, r, &a.f.decoders)
	return d, unpackError(ctx, desc, err)
}

// unpackError says whose fault it is: the bytes are those that the manifest names.
func unpackError(ctx context.Context, desc ocispec.Descriptor, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return cause(ctx, err)
	}
	if local := localError(err); local != nil {
		return fmt.Errorf("unpacking layer %s: %w", desc.Digest, err)
	}
	return malformed("layer %s (%s) cannot be unpacked: %v", desc.Digest, desc.MediaType, err)
}

// slot is a place among those that unpack at once. It is given back while its
// holder waits for the network, so that a hung registry blocks nobody else.
type slot struct {
	sem  *semaphore.Weighted
	held bool
}

func (s *slot) acquire(ctx context.Context) error {
	if s.held {
		return nil
	}
	err := s.sem.Acquire(ctx, 1)
	s.held = err == nil
	if err != nil && !errors.Is(err, context.Cause(ctx)) {
		err = context.Cause(ctx)
	}
	return err
}

func (s *slot) release() {
	if s.held {
		s.held = false
		s.sem.Release(1)
	}
}
