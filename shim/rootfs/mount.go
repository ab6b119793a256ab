// Package rootfs mounts and unmounts the root file system of a container from the mounts that a
// snapshotter gives, as mount(8) would.
package rootfs

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/berth-run/berth/shim/taskapi"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Mount mounts all of them on target, in their order. When one fails, those before it are undone.
// userns makes the user namespaces of those that map owners.
func Mount(mounts []taskapi.Mount, target string, userns Namespace) error {
	for _, m := range mounts {
		if err := mount(m, target, userns); err != nil {
			_ = Unmount(target)
			return fmt.Errorf("mount the root file system: %s %s: %w", m.Type, m.Source, err)
		}
	}
	return nil
}

// propagation are the flags that mount(2) takes only in a call of their own.
const propagation = unix.MS_SHARED | unix.MS_PRIVATE | unix.MS_SLAVE | unix.MS_UNBINDABLE

func mount(m taskapi.Mount, target string, userns Namespace) error {
	if m.Target != "" {
		return fmt.Errorf("a mount below the root (%s): %w", m.Target, errdefs.ErrInvalidArgument)
	}
	set, data, err := parse(m.Options)
	if err != nil {
		return err
	}
	if set.ids == nil {
		return mountPlain(m, target, set.flags, data)
	}
	ns, err := userns(*set.ids)
	if err != nil {
		return fmt.Errorf("make the user namespace of the mapping: %w", err)
	}
	defer ns.Close()
	if m.Type != overlay {
		if err := mountPlain(m, target, set.flags, data); err != nil {
			return err
		}
		return idmapped(target, target, ns, 0)
	}
	data, release, err := mapLower(data, target+lowerSuffix, ns)
	if err != nil {
		return err
	}
	defer release()
	return mountPlain(m, target, set.flags, data)
}

const (
	overlay     = "overlay"
	lowerOption = "lowerdir="
)

// mountPlain mounts without a mapping of owners.
func mountPlain(m taskapi.Mount, target string, flags uintptr, data []string) error {
	bind := flags&unix.MS_BIND != 0
	first := flags &^ propagation
	if bind {
		first = flags & (unix.MS_BIND | unix.MS_REC)
	}
	if err := mountData(m.Source, target, m.Type, first, data); err != nil {
		return err
	}
	// A bind mount takes other flags only when it is mounted again.
	if rest := flags &^ (propagation | unix.MS_REC | unix.MS_BIND); bind && rest != 0 {
		if err := unix.Mount("", target, "", rest|unix.MS_BIND|unix.MS_REMOUNT, ""); err != nil {
			return fmt.Errorf("set the options: %w", err)
		}
	}
	if p := flags & propagation; p != 0 {
		return unix.Mount("", target, "", p|flags&unix.MS_REC, "")
	}
	return nil
}

// mountData mounts with options that may be longer than the page mount(2) takes: an overlay of many
// layers, whose directories are then named relative to what they have in common.
func mountData(source, target, kind string, flags uintptr, data []string) error {
	text := strings.Join(data, ",")
	if len(text) < os.Getpagesize() || kind != overlay {
		return unix.Mount(source, target, kind, flags, text)
	}
	dir, short := shorten(data)
	if dir == "" || len(short) >= os.Getpagesize() {
		return fmt.Errorf("options of %d bytes, the kernel takes %d: the image has too many layers: %w", len(text), os.Getpagesize()-1, errdefs.ErrFailedPrecondition)
	}
	return inDir(dir, func() error { return unix.Mount(source, target, kind, flags, short) })
}

// shorten takes the directory that all lower directories are below out of an overlay's options. dir is
// empty where they have none in common, or where what is left of one would be another directory: an
// absolute path, or nothing; and where there are several lists, of which the kernel takes the last.
func shorten(data []string) (dir, short string) {
	options := make([]string, len(data))
	for i, o := range data {
		options[i] = o
		list, ok := strings.CutPrefix(o, lowerOption)
		if !ok {
			continue
		}
		dirs := strings.Split(list, ":")
		if dir != "" {
			return "", ""
		}
		if dir = common(dirs); dir == "" {
			return "", ""
		}
		for i, d := range dirs {
			if dirs[i] = strings.TrimPrefix(d, dir); dirs[i] == "" || dirs[i][0] == '/' {
				return "", ""
			}
		}
		options[i] = lowerOption + strings.Join(dirs, ":")
	}
	return dir, strings.Join(options, ",")
}

// common is the longest directory, with its closing slash, that all paths are below.
func common(paths []string) string {
	dir := paths[0]
	for _, p := range paths {
		n := 0
		for n < len(dir) && n < len(p) && dir[n] == p[n] {
			n++
		}
		dir = dir[:n]
	}
	dir = dir[:strings.LastIndexByte(dir, '/')+1]
	if !strings.HasPrefix(dir, "/") {
		return ""
	}
	return dir
}

// inDir runs fn with a working directory of its own, on a thread that ends with it.
func inDir(dir string, fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread is of no use any more
		err := unix.Unshare(unix.CLONE_FS)
		if err == nil {
			err = unix.Chdir(dir)
		}
		if err == nil {
			err = fn()
		}
		done <- err
	}()
	return <-done
}
