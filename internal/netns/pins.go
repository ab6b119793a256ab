package netns

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Remove unmounts and deletes all pins in dir, and dir itself when nothing else is in it.
// Idempotent. The namespaces end when nothing else uses them.
func Remove(_ context.Context, dir string) error { return remove(dir) }

func remove(dir string) error {
	var errs []error
	// The directory first: detaching it takes the pins below along, in one call.
	for _, path := range []string{dir, Path(dir, Net), Path(dir, IPC), Path(dir, UTS), Path(dir, User), Path(dir, sysfs), Path(dir, mqueue)} {
		if err := unmountAll(path); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	// Deleting the files also ends the copies that other mount namespaces have of the pins.
	for _, kind := range []Kind{Net, IPC, UTS, User, sysfs, mqueue} {
		if err := os.Remove(Path(dir, kind)); err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) {
			errs = append(errs, fmt.Errorf("delete pin: %w", err))
		}
	}
	err := unix.Rmdir(dir)
	if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.ENOTDIR) {
		errs = append(errs, fmt.Errorf("delete namespace directory %s: %w", dir, err))
	}
	return errors.Join(errs...)
}

// unmountAll removes every mount on top of path, in case there are several.
func unmountAll(path string) error {
	for {
		err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		switch {
		case err == nil:
			continue
		case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR):
			return nil // not a mount point, or gone
		default:
			return fmt.Errorf("unmount namespace pin %s: %w", path, err)
		}
	}
}

// Verify reports which pins in dir are live; a missing directory has none.
func Verify(dir string) (Pins, error) {
	var pins Pins
	for kind, live := range map[Kind]*bool{Net: &pins.Net, IPC: &pins.IPC, UTS: &pins.UTS, User: &pins.User} {
		is, err := isNamespace(Path(dir, kind))
		if err != nil {
			return Pins{}, fmt.Errorf("look at pin %s: %w", Path(dir, kind), err)
		}
		*live = is
	}
	return pins, nil
}

// IsNamespace reports whether path is a namespace file (nsfs), so a live pin.
func IsNamespace(path string) bool {
	is, err := isNamespace(path)
	return err == nil && is
}

func isNamespace(path string) (bool, error) {
	if path == "" {
		return false, nil
	}
	var st unix.Statfs_t
	for {
		err := unix.Statfs(path, &st)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR):
			return false, nil
		case err != nil:
			return false, err
		}
		return st.Type == unix.NSFS_MAGIC, nil
	}
}
