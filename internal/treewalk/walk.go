package treewalk

import (
	"context"
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

const (
	// held is how many levels keep their directory open while directories below them are read.
	held = 64
	// piece is how many bytes of a directory's entries are read at a time.
	piece = 16 << 10
)

// Visit is called for each entry of a directory, with what the kernel says of it. The walk goes into a directory if
// descend is true.
type Visit func(st *unix.Stat_t) (descend bool)

// Walk visits all that is below the open directory top. A mount point is visited and not entered. ctx's end, and errors of
// the file system, end the walk. Directories that are moved away or removed meanwhile may be left out, with their content.
func Walk(ctx context.Context, top *os.File, v Visit) error {
	id, err := identify(top)
	if err != nil {
		return err
	}
	w := &walk{ctx: ctx, visit: v, dev: id.dev, levels: []*level{{dir: top, id: id}}}
	defer w.close()
	for len(w.levels) > 0 {
		if err := w.step(); err != nil {
			return err
		}
	}
	return nil
}

type inode struct{ dev, ino uint64 }

// level is a directory on the way from the top to the one that is read.
type level struct {
	dir  *os.File // nil while it is closed
	id   inode
	buf  []byte // for entries; nil if there is none yet
	rest []byte // part of buf: entries that were read and not visited yet
	next int64  // where the entries after the last visited one begin (struct linux_dirent64, d_off)
}

type walk struct {
	ctx    context.Context
	visit  Visit
	dev    uint64
	levels []*level
	spare  []byte // a buffer that no level needs
}

// close closes what the walk has opened; the top is the caller's.
func (w *walk) close() {
	for _, l := range w.levels[min(1, len(w.levels)):] {
		l.close()
	}
}

func (l *level) close() {
	if l.dir != nil {
		l.dir.Close()
		l.dir = nil
	}
}

// step visits the next entry of the directory that is read, or leaves it if there is none.
func (w *walk) step() error {
	if w.ctx.Err() != nil {
		return context.Cause(w.ctx)
	}
	l := w.levels[len(w.levels)-1]
	if l.buf == nil {
		if l.buf, w.spare = w.spare, nil; l.buf == nil {
			l.buf = make([]byte, piece)
		}
	}
	name, ok, err := l.entry()
	if err != nil {
		return err
	}
	if !ok {
		return w.up()
	}
	var st unix.Stat_t
	if err := unix.Fstatat(int(l.dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return ignoreGone(&os.PathError{Op: "stat", Path: name, Err: err})
	}
	if !w.visit(&st) || st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil
	}
	return w.down(l, name)
}

// down goes into a directory.
func (w *walk) down(l *level, name string) error {
	dir, err := openat(l.dir, name)
	if err != nil {
		return ignoreGone(err)
	}
	id, err := identify(dir)
	if err != nil || id.dev != w.dev {
		dir.Close()
		return err
	}
	if len(w.levels) > held {
		l.close()
		w.spare, l.buf, l.rest = l.buf, nil, nil
	}
	w.levels = append(w.levels, &level{dir: dir, id: id})
	return nil
}

// up leaves the directory that is read. If the way to the one above it is gone, the walk goes on at the lowest that
// is still open.
func (w *walk) up() error {
	last := len(w.levels) - 1
	done := w.levels[last]
	w.levels, w.spare = w.levels[:last], done.buf
	if last == 0 {
		return nil
	}
	defer done.close()
	above := w.levels[last-1]
	if above.dir == nil && !above.reopen(done.dir) {
		for w.levels[len(w.levels)-1].dir == nil {
			w.levels = w.levels[:len(w.levels)-1]
		}
	}
	return nil
}

// reopen opens the directory again that is above another, and goes on where it was left. It reports whether that worked.
func (l *level) reopen(below *os.File) bool {
	dir, err := openat(below, "..")
	if err != nil {
		return false
	}
	if id, err := identify(dir); err != nil || id != l.id {
		dir.Close()
		return false
	}
	if _, err := unix.Seek(int(dir.Fd()), l.next, unix.SEEK_SET); err != nil {
		dir.Close()
		return false
	}
	l.dir = dir
	return true
}

func identify(f *os.File) (inode, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return inode{}, &os.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	return inode{st.Dev, st.Ino}, nil
}

// openat opens a directory in another one, but no link.
func openat(dir *os.File, name string) (*os.File, error) {
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// ignoreGone drops the errors of an entry that was removed, or is no directory any more.
func ignoreGone(err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil
	}
	return err
}
