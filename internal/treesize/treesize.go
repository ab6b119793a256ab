// Package treesize measures what a directory takes on disk whose content belongs to a container.
//
// The container may change the tree at the same time, and may make it as deep as it likes (see package treewalk).
package treesize

import (
	"context"
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/berth-run/berth/internal/treewalk"
)

// maxLinked is how many files with several names are remembered, so that each counts once. Further ones count
// once for each name.
const maxLinked = 100_000

// Size is what a tree takes.
type Size struct {
	Bytes  int64 // on disk: holes take nothing
	Inodes int64
}

type inode struct{ dev, ino uint64 }

// Of measures the directory and everything below it that is on the same file system. A directory that does not exist
// takes nothing.
func Of(ctx context.Context, path string) (Size, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return Size{}, nil
	}
	if err != nil {
		return Size{}, &os.PathError{Op: "measure", Path: path, Err: err}
	}
	dir := os.NewFile(uintptr(fd), path)
	defer dir.Close()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return Size{}, &os.PathError{Op: "measure", Path: path, Err: err}
	}
	w := &walk{dev: st.Dev, linked: map[inode]bool{}}
	w.add(&st)
	err = treewalk.Walk(ctx, dir, func(st *unix.Stat_t) bool {
		if st.Dev != w.dev {
			return false
		}
		w.add(st)
		return true
	})
	return w.size, err
}

type walk struct {
	dev    uint64
	linked map[inode]bool
	size   Size
}

// add counts a file, once if it has several names.
func (w *walk) add(st *unix.Stat_t) {
	if st.Nlink > 1 && st.Mode&unix.S_IFMT != unix.S_IFDIR {
		key := inode{st.Dev, st.Ino}
		if w.linked[key] {
			return
		}
		if len(w.linked) < maxLinked {
			w.linked[key] = true
		}
	}
	w.size.Bytes += st.Blocks * 512
	w.size.Inodes++
}
