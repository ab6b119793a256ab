package users

import (
	"github.com/containerd/containerd/v2/core/mount"

	"github.com/berth-run/berth/container/users/layerfs"
)

// MergedFS is the view that Open answers. Close it after use.
type MergedFS interface {
	FS
	// Close releases the directories that are held open.
	Close() error
}

// Open puts a merged view over the mounts of a snapshot (Snapshotter.Mounts)
// without mounting them. It understands an overlay mount or a bind mount.
// Anything else (erofs, block devices, fuse) is errdefs.ErrNotImplemented, and
// so are files that overlayfs keeps in a way only it can read; the caller then
// mounts the snapshot and uses OpenMounted.
func Open(mounts []mount.Mount) (MergedFS, error) {
	f, err := layerfs.Open(mounts)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// OpenMounted is the way for mounts that Open cannot interpret: a view over a
// directory in which the caller has mounted the snapshot.
func OpenMounted(dir string) (MergedFS, error) {
	f, err := layerfs.OpenDirs(dir)
	if err != nil {
		return nil, err
	}
	return f, nil
}
