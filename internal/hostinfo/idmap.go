package hostinfo

import (
	"errors"
	"fmt"
	"os"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// haveMountSetattr is true where mount_setattr(2) exists and is not filtered
// away: only then does it get as far as looking at its file descriptor.
func haveMountSetattr() bool {
	return errors.Is(unix.MountSetattr(-1, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}), unix.EBADF)
}

// IDMapSupported is true where the filesystem that holds dir can be mounted
// idmapped, which a pod with a user namespace needs for every volume. It tries
// it with a detached mount and a short-lived user namespace, and leaves
// nothing behind. Needs CAP_SYS_ADMIN.
func (i *Info) IDMapSupported(dir string) (bool, error) {
	if !i.IDMapSyscall || !i.UserNamespaces {
		return false, nil
	}
	userns, err := mount.GetUsernsFD("0:65536:65536", "0:65536:65536")
	if err != nil {
		return false, fmt.Errorf("making a user namespace to try idmapped mounts: %w", err)
	}
	defer userns.Close()
	tree, err := unix.OpenTree(unix.AT_FDCWD, dir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if errors.Is(err, os.ErrNotExist) {
		return false, fmt.Errorf("trying idmapped mounts on %s: %w: %w", dir, err, errdefs.ErrNotFound)
	}
	if err != nil {
		return false, fmt.Errorf("trying idmapped mounts on %s: open_tree: %w", dir, err)
	}
	defer unix.Close(tree)
	err = unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &unix.MountAttr{
		Attr_set:  unix.MOUNT_ATTR_IDMAP,
		Userns_fd: uint64(userns.Fd()),
	})
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EPERM), errors.Is(err, unix.ENOSYS):
		// EINVAL: the filesystem does not support it.
		return false, nil
	}
	return false, fmt.Errorf("trying idmapped mounts on %s: mount_setattr: %w", dir, err)
}
