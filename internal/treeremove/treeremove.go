// Package treeremove removes directories whose content belonged to a container.
//
// os.RemoveAll holds a descriptor and some ten kilobytes for each directory on the way down. A container can nest
// directories as deep as its disk has inodes, and so take all descriptors of the daemon, or its memory, by being
// removed. Here a directory that lies too deep is moved up to the top first, and removed from there.
package treeremove

import (
	"crypto/rand"
	"errors"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const (
	// maxDepth is how many directories are held open at a time.
	maxDepth = 32
	// chunk is how many names of a directory are read at a time.
	chunk = 512
)

// All removes what is at path, with everything below it; a path that does not exist is no error. Symbolic links are
// removed, not followed. Nobody else may change the tree meanwhile. The first error ends the removal.
func All(path string) error {
	err := Contents(path)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil && !errors.Is(err, unix.ENOTDIR) && !errors.Is(err, unix.ELOOP) {
		return err
	}
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}

// Contents removes everything below the directory at path, and leaves the directory. It is an error if path does not
// exist (ENOENT) or is no directory (ENOTDIR, or ELOOP for a symbolic link).
func Contents(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	top := os.NewFile(uintptr(fd), path)
	defer top.Close()
	return removal{int(top.Fd())}.empty(top, 0)
}

// removal is of the tree below a directory, by its descriptor.
type removal struct{ top int }

// empty removes everything below a directory that lies depth below the top. It reads the directory anew after each
// chunk that it removed.
func (r removal) empty(dir *os.File, depth int) error {
	for {
		names, err := dir.Readdirnames(chunk)
		for _, name := range names {
			if err := r.entry(dir, name, depth); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) && len(names) == 0 {
			return nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if _, err := dir.Seek(0, io.SeekStart); err != nil {
			return err
		}
	}
}

// entry removes an entry of a directory.
func (r removal) entry(dir *os.File, name string, depth int) error {
	at := int(dir.Fd())
	failed := func(op string, err error) error {
		return &os.PathError{Op: op, Path: filepath.Join(dir.Name(), name), Err: err}
	}
	err := unix.Unlinkat(at, name, 0)
	if err == nil || err == unix.ENOENT {
		return nil
	}
	if err != unix.EISDIR && err != unix.EPERM { // EPERM is POSIX's answer for a directory
		return failed("remove", err)
	}
	if err = unix.Unlinkat(at, name, unix.AT_REMOVEDIR); err == nil || err == unix.ENOENT {
		return nil
	}
	if err != unix.ENOTEMPTY && err != unix.EEXIST {
		return failed("remove", err)
	}
	if depth == maxDepth {
		if err := r.raise(at, name); err != nil {
			return failed("move up", err)
		}
		return nil
	}
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return failed("open", err)
	}
	sub := os.NewFile(uintptr(fd), name)
	defer sub.Close()
	if err := r.empty(sub, depth+1); err != nil {
		return err
	}
	if err := unix.Unlinkat(at, name, unix.AT_REMOVEDIR); err != nil && err != unix.ENOENT {
		return failed("remove", err)
	}
	return nil
}

// raise moves a directory to the top, where it is found by the next look.
func (r removal) raise(at int, name string) error {
	return unix.Renameat(at, name, r.top, ".berth-removed-"+rand.Text())
}
