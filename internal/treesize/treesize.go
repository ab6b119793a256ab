// Package treesize measures what a directory takes on disk whose content belongs to a container.
//
// The container may change the tree at the same time. Directories are opened one by one below the descriptor of
// their parent, never through a symbolic link, so that the walk stays inside; names are read in chunks.
package treesize

import (
	"context"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

const (
	// chunk is how many names of a directory are read at a time.
	chunk = 512
	// maxDepth is how many directories deep the walk goes. It holds a descriptor for each; what lies deeper does not count.
	maxDepth = 512
	// maxLinked is how many files with several names are remembered, so that each counts once. Further ones count
	// once for each name.
	maxLinked = 100_000
)

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
	w := &walk{ctx: ctx, dev: st.Dev, linked: map[inode]bool{}}
	w.add(&st)
	err = w.directory(dir, 0)
	return w.size, err
}

type walk struct {
	ctx    context.Context
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

func (w *walk) directory(dir *os.File, depth int) error {
	for {
		names, err := dir.Readdirnames(chunk)
		for _, name := range names {
			if err := w.ctx.Err(); err != nil {
				return err
			}
			if err := w.entry(dir, name, depth); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// entry counts an entry, and what is below it. An entry that is gone meanwhile takes nothing.
func (w *walk) entry(dir *os.File, name string, depth int) error {
	var st unix.Stat_t
	if err := unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return ignoreGone(err)
	}
	if st.Dev != w.dev {
		return nil
	}
	w.add(&st)
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || depth == maxDepth {
		return nil
	}
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return ignoreGone(err)
	}
	sub := os.NewFile(uintptr(fd), name)
	defer sub.Close()
	return w.directory(sub, depth+1)
}

// ignoreGone drops the errors of an entry that was removed, or is no directory any more.
func ignoreGone(err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil
	}
	return err
}
