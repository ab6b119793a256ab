package layerfs

import (
	"errors"
	"fmt"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// dir is a merged directory: the directories of all layers that contribute to
// it, topmost first.
type dir struct {
	fds []int
}

func (d *dir) close() {
	for _, fd := range d.fds {
		unix.Close(fd)
	}
	d.fds = nil
}

// lookup finds one name. A directory that is answered is the caller's to close.
func (d *dir) lookup(name string) (*node, error) {
	merged := &dir{}
	for _, fd := range d.fds {
		var st unix.Stat_t
		err := unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			merged.close()
			return nil, classify(err)
		}
		if st.Mode&unix.S_IFMT == unix.S_IFDIR {
			opaque, err := merged.add(fd, name)
			if err != nil {
				merged.close()
				return nil, err
			}
			if opaque {
				break
			}
			continue
		}
		if len(merged.fds) > 0 || isWhiteout(&st) {
			// A directory hides files below it, a whiteout everything.
			break
		}
		return &node{parent: fd, name: name, stat: st}, nil
	}
	if len(merged.fds) == 0 {
		return nil, classify(unix.ENOENT)
	}
	return &node{merged: merged}, nil
}

// add opens the directory name in a layer's directory and says whether it hides all lower ones.
func (d *dir) add(parent int, name string) (opaque bool, err error) {
	fd, err := unix.Openat(parent, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, classify(err)
	}
	d.fds = append(d.fds, fd)
	if marked(fd, "redirect") {
		return false, fmt.Errorf("directory %s is redirected: %w", name, errdefs.ErrNotImplemented)
	}
	return markedAs(fd, "opaque", "y"), nil
}

// isWhiteout is true for the character device 0:0.
func isWhiteout(st *unix.Stat_t) bool {
	return st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0
}

// overlayAttrs are the prefixes of overlayfs' extended attributes, the second
// for mounts with "userxattr".
var overlayAttrs = []string{"trusted.overlay.", "user.overlay."}

// marked is true where the file has overlayfs' extended attribute.
func marked(fd int, attr string) bool {
	for _, prefix := range overlayAttrs {
		if _, err := unix.Fgetxattr(fd, prefix+attr, nil); err == nil {
			return true
		}
	}
	return false
}

// markedAs is true where the attribute has that value.
func markedAs(fd int, attr, value string) bool {
	for _, prefix := range overlayAttrs {
		var buf [8]byte
		if n, err := unix.Fgetxattr(fd, prefix+attr, buf[:]); err == nil && string(buf[:n]) == value {
			return true
		}
	}
	return false
}
