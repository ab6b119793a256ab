package copyup

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/berth-run/berth/internal/budget"
)

// links remembers the copies of files that have several names, until all of their names were found.
type links struct {
	top   *os.File // of the copy that is made
	copy  int      // its number
	files map[inode]*linked
}

type inode struct{ dev, ino uint64 }

// linked is a file with several names: where its newest copy is, below the top of which copy of a tree, and how many
// names are still to come.
type linked struct {
	copy int
	path string
	left uint64
}

func newLinks() *links { return &links{files: map[inode]*linked{}} }

// begin is called for each copy of a tree.
func (l *links) begin(top *os.File) {
	l.top = top
	l.copy++
}

// meet is called for each name of a file. It makes name in the directory to another name of the file's copy and
// reports done if this tree has one. Else it reports whether the content is, or may be, in another copy already: the
// file at path is taken for that copy then.
func (l *links) meet(to *os.File, name, path string, st *unix.Stat_t) (done, known bool, err error) {
	if st.Nlink < 2 {
		return false, false, nil
	}
	key := inode{st.Dev, st.Ino}
	f := l.files[key]
	if f == nil {
		if len(l.files) >= budget.VolumeLinks {
			return false, true, nil
		}
		l.files[key] = &linked{l.copy, path, uint64(st.Nlink) - 1}
		return false, false, nil
	}
	if f.left--; f.left == 0 {
		delete(l.files, key)
	}
	if f.copy == l.copy {
		err := unix.Linkat(int(l.top.Fd()), strings.TrimPrefix(f.path, "/"), int(to.Fd()), name, 0)
		if err == nil {
			return true, true, nil
		}
		if !errors.Is(err, unix.EMLINK) { // else the file system takes no more names
			return false, true, fmt.Errorf("link to %s: %w", f.path, err)
		}
	}
	f.copy, f.path = l.copy, path
	return false, true, nil
}
