package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/berth-run/berth/engine"
	"github.com/berth-run/berth/internal/treeremove"
)

// files are the directories and sockets of pods and containers.
func (d *Doctor) files(context.Context) ([]Finding, error) {
	var found []Finding
	for kind, dir := range map[string]string{
		"pod directory":          d.Paths.Pods(),
		"container directory":    d.Paths.Containers(),
		"container data":         d.Paths.ContainerData(),
		"pipes":                  d.Paths.FIFOs(),
		"runc state":             filepath.Join(d.Paths.RuncRoot(), engine.Namespace),
		"shim socket":            d.Paths.Shims(),
		"bundle":                 filepath.Join(d.Paths.ContainerdState(), engine.PodTasksDir, engine.Namespace),
		"containerd bundle":      filepath.Join(d.Paths.ContainerdState(), tasks, engine.Namespace),
		"network namespace":      d.Paths.NetworkNamespaces(),
		"containerd bundle data": filepath.Join(d.Paths.ContainerdRoot(), tasks, engine.Namespace),
	} {
		entries, err := os.ReadDir(dir)
		if err != nil && !os.IsNotExist(err) {
			return nil, fmt.Errorf("look for what is left over: %w", err)
		}
		for _, e := range entries {
			owner := id.FindString(e.Name())
			if owner == "" {
				owner = shortID.FindString(e.Name())
			}
			if owner == "" {
				continue
			}
			path := filepath.Join(dir, e.Name())
			if !d.isOwn(path) {
				continue // in a directory that others share
			}
			found = append(found, Finding{
				Kind: kind, Name: path, ID: owner, order: orderFile,
				fix: func(context.Context) error { return removeTree(path) },
			})
		}
	}
	return found, nil
}

// removeTree removes a directory in which nothing is mounted: what is behind a mount is
// not ours to remove.
func removeTree(path string) error {
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(path))
	if err != nil {
		return err
	}
	if len(mounts) > 0 {
		return fmt.Errorf("something is still mounted at %s", mounts[0].Mountpoint)
	}
	return treeremove.All(path)
}

// mounts are those below the two directories, and of pins, whose path names an ID.
func (d *Doctor) mounts(context.Context) ([]Finding, error) {
	all, err := mountinfo.GetMounts(func(i *mountinfo.Info) (skip, stop bool) {
		return !d.inside(i.Mountpoint) && !d.isPin(i.Mountpoint), false
	})
	if err != nil {
		return nil, fmt.Errorf("read the mount table: %w", err)
	}
	var found []Finding
	for _, m := range all {
		owner := id.FindString(m.Mountpoint)
		if owner == "" {
			continue
		}
		f := Finding{
			Kind: "mount", Name: m.Mountpoint, ID: owner, order: orderMount,
			fix: func(context.Context) error {
				err := unix.Unmount(m.Mountpoint, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
				if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
					return nil // it went with one above it
				}
				return err
			},
		}
		if !d.isOwn(m.Mountpoint) {
			f.LeftAlone = foreign
		}
		found = append(found, f)
	}
	return found, nil
}
