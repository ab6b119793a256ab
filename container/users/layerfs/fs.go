package layerfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// FS is a read-only merged view. It is not safe for concurrent use with Close.
type FS struct {
	root *dir
}

// OpenDirs is a view over directories, topmost first. They are held open until Close.
func OpenDirs(paths ...string) (*FS, error) {
	root := &dir{}
	for _, p := range paths {
		// The layer directories are the snapshotter's: symbolic links in their
		// own path are trusted, those below are not.
		fd, err := unix.Open(p, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			root.close()
			return nil, fmt.Errorf("opening the layer %s: %w", p, classify(err))
		}
		root.fds = append(root.fds, fd)
	}
	return &FS{root: root}, nil
}

// Close releases the directories that are held open.
func (f *FS) Close() error {
	f.root.close()
	return nil
}

// ReadFile reads a regular file by its absolute path inside the root,
// following symbolic links inside the root only.
//
// Errors: ErrNotFound (also fs.ErrNotExist) when there is no such file,
// ErrInvalidArgument when it is not a regular file, when it is larger than
// limit bytes or when links go in circles, ErrNotImplemented when only a real
// mount can show it.
func (f *FS) ReadFile(path string, limit int64) ([]byte, error) {
	file, err := f.Open(path, limit)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(file)
	if err != nil {
		return nil, fmt.Errorf("reading %s in the root filesystem: %w", path, err)
	}
	return data, nil
}

// Open is ReadFile for a reader that does not need the whole content at once. The reader gives limit bytes at
// most, also of a file that grows.
func (f *FS) Open(path string, limit int64) (io.ReadCloser, error) {
	w := walker{root: f.root}
	defer w.close()
	n, err := w.walk(path)
	if err != nil {
		return nil, fmt.Errorf("reading %s in the root filesystem: %w", path, err)
	}
	file, err := n.open(limit)
	if err != nil {
		return nil, fmt.Errorf("reading %s in the root filesystem: %w", path, err)
	}
	return struct {
		io.Reader
		io.Closer
	}{io.LimitReader(file, limit), file}, nil
}

// node is what a name in the merged view stands for.
type node struct {
	// merged is set for a directory.
	merged *dir
	// parent is the layer directory that holds a file, and name its name there.
	parent int
	name   string
	stat   unix.Stat_t
}

func (n *node) isDir() bool  { return n.merged != nil }
func (n *node) isLink() bool { return n.stat.Mode&unix.S_IFMT == unix.S_IFLNK }

// open opens a regular file of at most limit bytes.
func (n *node) open(limit int64) (*os.File, error) {
	if n.isDir() || n.stat.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, fmt.Errorf("it is not a regular file: %w", errdefs.ErrInvalidArgument)
	}
	// O_NONBLOCK: should a fifo have taken the file's place, open must not hang.
	fd, err := unix.Openat(n.parent, n.name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, classify(err)
	}
	file := os.NewFile(uintptr(fd), n.name)
	fi, err := file.Stat()
	switch {
	case err != nil || !fi.Mode().IsRegular():
		err = fmt.Errorf("it is not a regular file: %w", errdefs.ErrInvalidArgument)
	case marked(fd, "metacopy"):
		err = fmt.Errorf("it is a metadata-only copy: %w", errdefs.ErrNotImplemented)
	case fi.Size() > limit:
		err = fmt.Errorf("it is larger than %d bytes: %w", limit, errdefs.ErrInvalidArgument)
	default:
		return file, nil
	}
	file.Close()
	return nil, err
}

// readlink is the target of a symbolic link.
func (n *node) readlink() (string, error) {
	buf := make([]byte, unix.PathMax)
	size, err := unix.Readlinkat(n.parent, n.name, buf)
	if err != nil {
		return "", classify(err)
	}
	return string(buf[:size]), nil
}

// classify gives errors of the kernel their class and keeps them recognisable.
func classify(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR):
		return fmt.Errorf("%w: %w", fs.ErrNotExist, errdefs.ErrNotFound)
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENAMETOOLONG), errors.Is(err, unix.EINVAL):
		return fmt.Errorf("%w: %w", err, errdefs.ErrInvalidArgument)
	}
	return err
}
