package imageservice

import (
	"context"

	"github.com/containerd/containerd/v2/core/snapshots"

	"github.com/berth-run/berth/internal/treeremove"
)

// EmptyLayer removes the content of a container's writable layer, which nothing uses any more and which is to be removed.
// containerd's own removal would hold a descriptor for each level of directories, and the embedded containerd's are
// the daemon's. A layer without a directory that this process sees is left to containerd. ctx has containerd's namespace.
func EmptyLayer(ctx context.Context, sn snapshots.Snapshotter, key string) error {
	mounts, err := sn.Mounts(ctx, key)
	if err != nil {
		return ignoreGone(err)
	}
	dir, ok := layerDirOf(mounts)
	if !ok {
		return nil
	}
	return treeremove.Contents(dir.path)
}
