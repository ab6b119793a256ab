package imageservice

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
)

// mountLabel marks the views made by PrepareImageMount; rootLabel keeps the
// garbage collector from them, since no container record refers to them.
const (
	mountLabel = "berth.run/image-mount"
	rootLabel  = "containerd.io/gc.root"
)

// PrepareImageMount makes a read-only view of the image's file system, a snapshot
// named key, and returns how to mount it. The same key again gives the same view;
// a key that stands for something else is ErrAlreadyExists. The caller owns the
// view until RemoveImageMount. Views survive the removal of the image and
// restarts.
func (s *Service) PrepareImageMount(ctx context.Context, img *Image, key string) ([]mount.Mount, error) {
	ctx = s.withNamespace(ctx)
	if err := s.EnsureUnpacked(ctx, img, ""); err != nil {
		return nil, fmt.Errorf("image mount %q: %w", key, err)
	}
	sn := s.client.SnapshotService(s.opts.Snapshotter)
	mounts, err := sn.View(ctx, key, img.ChainID, snapshots.WithLabels(map[string]string{
		mountLabel: img.ID,
		rootLabel:  time.Now().UTC().Format(time.RFC3339),
	}))
	if err == nil {
		return mounts, nil
	}
	if !errdefs.IsAlreadyExists(err) {
		return nil, fmt.Errorf("image mount %q of %s: %w", key, img.Name(), err)
	}
	info, err := sn.Stat(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("image mount %q of %s: %w", key, img.Name(), err)
	}
	if info.Labels[mountLabel] != img.ID {
		return nil, fmt.Errorf("image mount %q of %s: the key belongs to a snapshot of %q: %w", key, img.Name(), info.Labels[mountLabel], errdefs.ErrAlreadyExists)
	}
	if mounts, err = sn.Mounts(ctx, key); err != nil {
		return nil, fmt.Errorf("image mount %q of %s: %w", key, img.Name(), err)
	}
	return mounts, nil
}

// RemoveImageMount removes the view named key; a missing one is success. It has
// to be unmounted before.
func (s *Service) RemoveImageMount(ctx context.Context, key string) error {
	ctx = s.withNamespace(ctx)
	err := s.client.SnapshotService(s.opts.Snapshotter).Remove(ctx, key)
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("removing image mount %q: %w", key, err)
	}
	return nil
}

// ListImageMounts returns the keys of all views, for a caller that reconciles
// them with its containers after a restart.
func (s *Service) ListImageMounts(ctx context.Context) ([]string, error) {
	ctx = s.withNamespace(ctx)
	var keys []string
	err := s.client.SnapshotService(s.opts.Snapshotter).Walk(ctx, func(_ context.Context, i snapshots.Info) error {
		keys = append(keys, i.Name)
		return nil
	}, fmt.Sprintf("labels.%q", mountLabel))
	if err != nil {
		return nil, fmt.Errorf("listing image mounts: %w", err)
	}
	return keys, nil
}
