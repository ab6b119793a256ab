package rootfs

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Unmount unmounts everything that is mounted at and below target; nothing there is no error.
func Unmount(target string) error {
	for {
		switch err := unix.Unmount(target, unix.UMOUNT_NOFOLLOW); err {
		case nil:
			continue // there may be another below it
		case unix.EINVAL, unix.ENOENT:
			return nil
		case unix.EBUSY:
			return unmountTree(target)
		default:
			return fmt.Errorf("unmount %s: %w", target, err)
		}
	}
}

// Detach takes everything that is mounted at and below target out of sight, also where it is in use.
func Detach(target string) error {
	for {
		switch err := unix.Unmount(target, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err {
		case nil:
		case unix.EINVAL, unix.ENOENT:
			return nil
		default:
			return fmt.Errorf("unmount %s: %w", target, err)
		}
	}
}

// unmountTree unmounts what is mounted below target, the last first. It reads the host's whole mount
// table, which is why Unmount tries without.
func unmountTree(target string) error {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	var paths []string
	for line := range strings.Lines(string(data)) {
		const mountPoint = 4
		if f := strings.Fields(line); len(f) > mountPoint {
			if p := unescape(f[mountPoint]); p == target || strings.HasPrefix(p, target+"/") {
				paths = append(paths, p)
			}
		}
	}
	for i := len(paths) - 1; i >= 0; i-- {
		if err := unix.Unmount(paths[i], unix.UMOUNT_NOFOLLOW); err != nil && err != unix.EINVAL && err != unix.ENOENT {
			return fmt.Errorf("unmount %s: %w", paths[i], err)
		}
	}
	return nil
}

// unescape undoes how the kernel writes blanks and the like, as a backslash and three octal digits.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`, `\043`, "#").Replace(s)
}
