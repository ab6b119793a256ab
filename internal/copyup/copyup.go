package copyup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/berth-run/berth/internal/budget"
	"github.com/berth-run/berth/internal/inside"
)

// chunk is how many names of a directory are read at a time.
const chunk = 512

// Room is what copies may take together. The zero value is no room.
type Room struct {
	Bytes   int64 // content of files
	Entries int64 // files, directories and everything else
}

// take charges an entry with so many bytes of content, or says that there is no room.
func (r *Room) take(entries, bytes int64) error {
	r.Entries -= entries
	r.Bytes -= bytes
	if r.Entries < 0 || r.Bytes < 0 {
		return fmt.Errorf("volumes of the image overlap through links, so that more than %d bytes or %d entries would be copied again; "+
			"mount volumes of the pod at some of their places: %w", int64(budget.VolumeBytes), int64(budget.VolumeEntries), errdefs.ErrResourceExhausted)
	}
	return nil
}

// copying makes the copies for one container, one after the other.
type copying struct {
	ctx   context.Context
	room  *Room // for content that another copy has too
	links *links

	covered map[string]bool // paths below the top of this copy whose content is left out
	again   bool            // another copy has the content of this one too
}

// tree copies what is in the directory from into the empty directory to, which also gets the owner, the mode, the
// attributes and the times of from. Owners, modes, times, extended attributes, holes, and hard links within the tree
// are kept. What is copied again is taken from the room; errdefs.ErrResourceExhausted when that does not suffice.
func (c *copying) tree(to, from *os.File) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(from.Fd()), &st); err != nil {
		return &os.PathError{Op: "stat", Path: from.Name(), Err: err}
	}
	c.links.begin(to)
	return c.directory(to, from, &st, "", 0)
}

// charge takes what is copied from the room, if it is copied again.
func (c *copying) charge(again bool, entries, bytes int64) error {
	if !again {
		return nil
	}
	return c.room.take(entries, bytes)
}

// directory copies the content of from unless another volume covers it, then what from has itself: the times come last.
func (c *copying) directory(to, from *os.File, st *unix.Stat_t, path string, depth int) error {
	if depth > budget.PathDepth {
		return fmt.Errorf("%.40s… is deeper than %d directories: %w", path, budget.PathDepth, errdefs.ErrResourceExhausted)
	}
	if !c.covered[path] {
		if err := c.entries(to, from, path, depth); err != nil {
			return err
		}
	}
	if err := inside.CopyAttributes(to, from); err != nil {
		return err
	}
	return setTimes(int(to.Fd()), "", st)
}

func (c *copying) entries(to, from *os.File, path string, depth int) error {
	for {
		names, err := from.Readdirnames(chunk)
		for _, name := range names {
			if err := c.entry(to, from, name, path, depth); err != nil {
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

// entry copies one entry of a directory.
func (c *copying) entry(to, from *os.File, name, path string, depth int) error {
	if c.ctx.Err() != nil {
		return context.Cause(c.ctx)
	}
	path += "/" + name
	var st unix.Stat_t
	if err := unix.Fstatat(int(from.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if err := c.charge(c.again, 1, 0); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	var err error
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		err = c.subdirectory(to, from, name, path, &st, depth)
	case unix.S_IFREG:
		err = c.file(to, from, name, path, &st)
	case unix.S_IFLNK:
		err = c.symlink(to, from, name, &st)
	default:
		err = c.special(to, from, name, &st)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func (c *copying) subdirectory(to, from *os.File, name, path string, st *unix.Stat_t, depth int) error {
	if err := unix.Mkdirat(int(to.Fd()), name, 0o700); err != nil {
		return fmt.Errorf("make the directory: %w", err)
	}
	src, err := openat(from, name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := openat(to, name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer dst.Close()
	return c.directory(dst, src, st, path, depth+1)
}

func (c *copying) symlink(to, from *os.File, name string, st *unix.Stat_t) error {
	target := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(from.Fd()), name, target)
	if err != nil {
		return fmt.Errorf("read the link: %w", err)
	}
	if err := unix.Symlinkat(string(target[:n]), int(to.Fd()), name); err != nil {
		return fmt.Errorf("make the link: %w", err)
	}
	return c.finish(to, from, name, st)
}

// special copies devices, named pipes and sockets.
func (c *copying) special(to, from *os.File, name string, st *unix.Stat_t) error {
	if err := unix.Mknodat(int(to.Fd()), name, st.Mode&unix.S_IFMT|0o600, int(st.Rdev)); err != nil {
		return fmt.Errorf("make the node: %w", err)
	}
	return c.finish(to, from, name, st)
}

// finish gives owner, attributes and times to what cannot be opened.
func (c *copying) finish(to, from *os.File, name string, st *unix.Stat_t) error {
	if err := unix.Fchownat(int(to.Fd()), name, int(st.Uid), int(st.Gid), unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("set the owner: %w", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK { // the change of owner takes bits from the mode
		if err := unix.Fchmodat(int(to.Fd()), name, st.Mode&0o7777, 0); err != nil {
			return fmt.Errorf("set the mode: %w", err)
		}
	}
	if err := inside.CopyAttributesOf(to, from, name); err != nil {
		return err
	}
	return setTimes(int(to.Fd()), name, st)
}

// openat opens an entry of a directory, but no symbolic link. O_NONBLOCK keeps a named pipe from being waited for.
func openat(dir *os.File, name string, flags int) (*os.File, error) {
	fd, err := unix.Openat(int(dir.Fd()), name, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// setTimes sets the times of an entry of a directory, of the open file itself when name is empty.
func setTimes(dir int, name string, st *unix.Stat_t) error {
	times := []unix.Timespec{st.Atim, st.Mtim}
	flags := unix.AT_SYMLINK_NOFOLLOW
	if name == "" {
		flags = unix.AT_EMPTY_PATH
	}
	if err := unix.UtimesNanoAt(dir, name, times, flags); err != nil {
		return fmt.Errorf("set the times: %w", err)
	}
	return nil
}
