package rootfs

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// IDMap is how a user namespace sees the owners of files.
type IDMap struct{ UIDs, GIDs []syscall.SysProcIDMap }

// Namespace makes a user namespace with a mapping and returns a descriptor of it.
type Namespace func(IDMap) (*os.File, error)

// parseIDs reads mappings as a snapshotter gives them: inside:outside:size, separated by commas.
func parseIDs(list string) (out []syscall.SysProcIDMap, err error) {
	for m := range strings.SplitSeq(list, ",") {
		var n [3]int
		f := strings.Split(m, ":")
		for i := range n {
			if len(f) != len(n) {
				return nil, fmt.Errorf("ID mapping %q is not inside:outside:size: %w", m, errdefs.ErrInvalidArgument)
			}
			if n[i], err = strconv.Atoi(f[i]); err != nil || n[i] < 0 {
				return nil, fmt.Errorf("ID mapping %q is not inside:outside:size: %w", m, errdefs.ErrInvalidArgument)
			}
		}
		out = append(out, syscall.SysProcIDMap{ContainerID: n[0], HostID: n[1], Size: n[2]})
	}
	return out, nil
}

// idmapped attaches a copy of the mount that source is in to target, with the owners that ns gives.
func idmapped(source, target string, ns *os.File, attr uint64) error {
	fd, err := unix.OpenTree(unix.AT_FDCWD, source, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return fmt.Errorf("open %s: %w", source, err)
	}
	defer unix.Close(fd)
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &unix.MountAttr{
		Attr_set: unix.MOUNT_ATTR_IDMAP | attr, Propagation: unix.MS_PRIVATE, Userns_fd: uint64(ns.Fd()),
	}); err != nil {
		return fmt.Errorf("map the owners of the files in %s: %w", source, err)
	}
	if err := unix.MoveMount(fd, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("mount %s with mapped owners: %w", source, err)
	}
	return nil
}

// lowerSuffix is added to the target for the place of mapped lower directories.
const lowerSuffix = ".lower"

// Clean takes away what a Mount on target that was killed may have left beside it.
func Clean(target string) error {
	if err := Detach(target + lowerSuffix); err != nil {
		return err
	}
	if err := os.Remove(target + lowerSuffix); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}

// mapLower mounts the directory of all lower directories of an overlay at dir, with mapped owners,
// and returns the options with the lower directories there. The overlay has mounts of its own once it
// is made: release takes dir away.
func mapLower(data []string, dir string, ns *os.File) (mapped []string, release func(), err error) {
	base, _ := shorten(data)
	if base == "" {
		return nil, nil, fmt.Errorf("the lower directories have nothing in common: %w", errdefs.ErrInvalidArgument)
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !os.IsExist(err) {
		return nil, nil, err
	}
	if err := idmapped(base, dir, ns, unix.MOUNT_ATTR_RDONLY); err != nil {
		os.Remove(dir)
		return nil, nil, err
	}
	for _, o := range data {
		if list, ok := strings.CutPrefix(o, lowerOption); ok {
			dirs := strings.Split(list, ":")
			for i, d := range dirs {
				dirs[i] = dir + "/" + strings.TrimPrefix(d, base)
			}
			o = lowerOption + strings.Join(dirs, ":")
		}
		mapped = append(mapped, o)
	}
	return mapped, func() {
		_ = Detach(dir)
		os.Remove(dir)
	}, nil
}
