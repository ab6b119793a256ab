package inside

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Top opens the directory that is the top of a foreign tree. Links in path itself are followed: path is
// the daemon's own. The descriptor is good for Beneath and InRoot, not for reading.
func Top(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// Beneath opens the directory name below top, for reading and for changing its attributes. A symbolic
// link anywhere in name is ELOOP, the last component included; name may not be absolute, and ".." may not lead out of top.
func Beneath(top *os.File, name string) (*os.File, error) {
	return open(top, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK,
		unix.RESOLVE_BENEATH|unix.RESOLVE_NO_SYMLINKS|unix.RESOLVE_NO_MAGICLINKS)
}

// InRoot opens the directory name as a process would see it whose root is top: symbolic links are
// followed, absolute ones from top, and ".." does not lead out of it. A name that is no directory is ENOTDIR.
func InRoot(top *os.File, name string) (*os.File, error) {
	return open(top, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK, unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_MAGICLINKS)
}

// retries is how often a path is resolved again that somebody changed meanwhile.
const retries = 32

// open resolves a name. The kernel answers EAGAIN when a rename or a mount elsewhere on the host kept it
// from knowing whether ".." stays inside.
func open(top *os.File, name string, flags, resolve uint64) (*os.File, error) {
	how := unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Resolve: resolve}
	var fd int
	var err error
	for range retries {
		fd, err = unix.Openat2(int(top.Fd()), name, &how)
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}
