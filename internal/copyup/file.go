package copyup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/berth-run/berth/internal/inside"
)

// piece is how much of a file is copied before the context is looked at again.
const piece = 8 << 20

// file copies a regular file, or links it to the copy of another name that it has in the tree.
func (c *copying) file(to, from *os.File, name, path string, st *unix.Stat_t) error {
	done, known, err := c.links.meet(to, name, path, st)
	if done || err != nil {
		return err
	}
	if known && !c.again { // else the entry was charged
		if err := c.charge(true, 1, 0); err != nil {
			return err
		}
	}
	src, err := openat(from, name, unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer src.Close()
	fd, err := unix.Openat(int(to.Fd()), name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("make the file: %w", err)
	}
	dst := os.NewFile(uintptr(fd), name)
	defer dst.Close()
	if err := c.content(dst, src, st.Size, known || c.again); err != nil {
		return err
	}
	if err := inside.CopyAttributes(dst, src); err != nil {
		return err
	}
	return setTimes(int(dst.Fd()), "", st)
}

// content copies the pieces of a file that hold data, and leaves its holes.
func (c *copying) content(dst, src *os.File, size int64, again bool) error {
	for at := int64(0); at < size; {
		start, end, err := nextData(src, at, size)
		if err != nil {
			return err
		}
		if start >= size {
			break
		}
		if err := c.data(dst, src, start, end, again); err != nil {
			return err
		}
		at = end
	}
	return dst.Truncate(size)
}

// data copies the bytes from start to end.
func (c *copying) data(dst, src *os.File, start, end int64, again bool) error {
	for _, f := range []*os.File{src, dst} {
		if _, err := f.Seek(start, io.SeekStart); err != nil {
			return err
		}
	}
	for start < end {
		if c.ctx.Err() != nil {
			return context.Cause(c.ctx)
		}
		n := min(piece, end-start)
		if err := c.charge(again, 0, n); err != nil {
			return err
		}
		if _, err := io.CopyN(dst, src, n); err != nil {
			return fmt.Errorf("copy the content: %w", err)
		}
		start += n
	}
	return nil
}

// nextData finds the next part of a file that is no hole. A file system that knows no holes says that all is data.
func nextData(f *os.File, at, size int64) (start, end int64, err error) {
	start, err = unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO):
		return size, size, nil // a hole to the end
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOTSUP):
		return at, size, nil
	case err != nil:
		return 0, 0, fmt.Errorf("look for data: %w", err)
	}
	end, err = unix.Seek(int(f.Fd()), start, unix.SEEK_HOLE)
	if err != nil {
		return 0, 0, fmt.Errorf("look for a hole: %w", err)
	}
	return start, min(end, size), nil
}
