package imageservice

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"k8s.io/klog/v2"

	"github.com/berth-run/berth/internal/treesize"
)

// LayerUsage measures a container's writable layer. containerd measures by paths, and gives up where a container
// has made one that is longer than the kernel takes (PATH_MAX, 4096 bytes); then the layer's directory is measured by
// descriptors, where the snapshotter has one. A layer that does not exist is errdefs.ErrNotFound. ctx has containerd's
// namespace.
func LayerUsage(ctx context.Context, sn snapshots.Snapshotter, key string) (snapshots.Usage, error) {
	u, err := sn.Usage(ctx, key)
	if err == nil || errdefs.IsNotFound(err) || ctx.Err() != nil {
		return u, err
	}
	mounts, merr := sn.Mounts(ctx, key)
	if merr != nil {
		return u, fmt.Errorf("%w (and its mounts are not known: %v)", err, merr)
	}
	dir, ok := layerDirOf(mounts)
	if !ok {
		return u, err
	}
	size, err := treesize.Of(ctx, dir.path)
	return snapshots.Usage{Size: size.Bytes, Inodes: size.Inodes}, err
}

// lastFigure keeps a layer from ending the pass that cannot be measured: what is known of it stays, and its age shows.
func (a *accounting) lastFigure(ctx context.Context, key snapshotKey, err error, to map[snapshotKey]SnapshotUsage) error {
	if errdefs.IsNotFound(err) || ctx.Err() != nil {
		return ctx.Err()
	}
	klog.FromContext(ctx).Error(err, "Cannot measure a layer; its last figure stays", "snapshotter", key.snapshotter, "key", key.name)
	a.mu.Lock()
	defer a.mu.Unlock()
	if u, ok := a.active[key]; ok {
		to[key] = u
	}
	return nil
}

func ignoreGone(err error) error {
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}
