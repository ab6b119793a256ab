package copyup

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/berth-run/berth/internal/budget"
)

// links remembers the copies of files that have several names, until all of their names were found.
type links struct {
	top   *os.File // of the copy
	files map[inode]*linked
}

type inode struct{ dev, ino uint64 }

// linked is a file with several names: where its copy is, below the top, and how many names are still to come.
type linked struct {
	path string
	left uint64
}

func newLinks(top *os.File) *links { return &links{top, map[inode]*linked{}} }

// link makes name another name of the copy, and reports whether there is a copy.
func (l *links) link(to *os.File, name string, st *unix.Stat_t) (bool, error) {
	key := inode{st.Dev, st.Ino}
	f := l.files[key]
	if f == nil {
		return false, nil
	}
	err := unix.Linkat(int(l.top.Fd()), strings.TrimPrefix(f.path, "/"), int(to.Fd()), name, 0)
	if errors.Is(err, unix.EMLINK) {
		delete(l.files, key) // the file system takes no more: the next copy takes over
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("link to %s: %w", f.path, err)
	}
	if f.left--; f.left == 0 {
		delete(l.files, key)
	}
	return true, nil
}

// remember keeps where the copy of a file is that has further names.
func (l *links) remember(path string, st *unix.Stat_t) error {
	if len(l.files) >= budget.VolumeLinks {
		return fmt.Errorf("more than %d files have further names elsewhere: %w", budget.VolumeLinks, errdefs.ErrResourceExhausted)
	}
	l.files[inode{st.Dev, st.Ino}] = &linked{path, uint64(st.Nlink) - 1}
	return nil
}
