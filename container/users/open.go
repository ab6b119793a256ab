package users

import (
	"fmt"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
)

// MergedFS is the view that Open answers. Close it after use.
type MergedFS interface {
	FS
	// Close releases the directories that are held open.
	Close() error
}

// Open puts a merged view over the mounts of a snapshot (Snapshotter.Mounts)
// without mounting them. It understands overlay mounts and bind mounts, the
// latter also as base of an overlay. Anything else (erofs, block devices,
// fuse) is errdefs.ErrNotImplemented; then use OpenMounted.
func Open(mounts []mount.Mount) (MergedFS, error) {
	return nil, fmt.Errorf("opening snapshot mounts: %w", errdefs.ErrNotImplemented)
}

// OpenMounted is the way for mounts that Open cannot interpret: a view over a
// directory in which the caller has mounted the snapshot.
func OpenMounted(dir string) (MergedFS, error) {
	return nil, fmt.Errorf("opening %s: %w", dir, errdefs.ErrNotImplemented)
}
