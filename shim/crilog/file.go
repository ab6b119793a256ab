package crilog

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// File is a CRI log file which several streams of one container write to and which can be reopened
// while they do.
type File struct {
	root, path string

	mu  sync.Mutex // held while writing
	f   *os.File
	buf []byte // what is formatted and not written yet
	// torn is set while the file ends in the middle of an entry that could not be cut off.
	torn bool
	// unreported is the loss the log does not tell about yet.
	unreported Loss
	// cause is the error that made the unreported loss.
	cause  error
	closed bool

	bufs sync.Pool // an idle File holds no buffer for longer than two garbage collections

	statsMu sync.Mutex // never held over I/O, so that counters can be read while the disk hangs
	stats   Stats
}

// Loss is output that could not be logged.
type Loss struct {
	// Entries and Bytes count log entries and the container's bytes in them.
	Entries uint64
	Bytes   uint64
}

// Stats of a File. Bytes are the container's, without headers.
type Stats struct {
	// Entries and Bytes that were written.
	Entries uint64
	Bytes   uint64
	// Lost is what could not be written.
	Lost Loss
	// Err is the last error of writing, nil once writing works again.
	Err error
}

// Open opens (or makes, with mode 0640) the log file at path. A symbolic link, or anything else that
// is not a regular file, is refused, and so is a way below the directory root that leaves it:
// containers may be able to write to log directories. Without a root, every directory is trusted.
func Open(root, path string) (*File, error) {
	f, err := openLog(root, path)
	if err != nil {
		return nil, err
	}
	l := &File{root: root, path: path, f: f}
	l.bufs.New = func() any { return new([bufBytes]byte) }
	return l, nil
}

// openLog opens without following a last symbolic link and without blocking on a FIFO.
func openLog(root, path string) (*os.File, error) {
	dir, err := openDir(root, path)
	if err != nil {
		return nil, fmt.Errorf("open log file %s: %w", path, err)
	}
	defer dir.Close()
	fd, err := retryOpen(int(dir.Fd()), filepath.Base(path))
	if err != nil {
		return nil, fmt.Errorf("open log file %s: %w", path, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("look at log file %s: %w", path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		unix.Close(fd)
		return nil, fmt.Errorf("open log file %s: not a regular file: %w", path, unix.EINVAL)
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("set up log file %s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// openDir opens the directory of path, without leaving root where there is one.
func openDir(root, path string) (*os.File, error) {
	if root == "" {
		return os.Open(filepath.Dir(path))
	}
	rel, err := filepath.Rel(root, filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	r, err := os.OpenRoot(root)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return r.Open(rel)
}

func retryOpen(dir int, name string) (int, error) {
	const flags = unix.O_WRONLY | unix.O_APPEND | unix.O_CREAT | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC
	for {
		fd, err := unix.Openat(dir, name, flags, 0o640)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// Path is where the log is (re)opened.
func (l *File) Path() string { return l.path }

// Reopen opens the path anew, after the file was renamed away. Entries are never divided between
// the files. When opening fails the old file stays in use.
func (l *File) Reopen() error {
	f, err := openLog(l.root, l.path)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		f.Close()
		return fmt.Errorf("reopen log file %s: %w", l.path, os.ErrClosed)
	}
	old := l.f
	l.f, l.torn = f, false
	return old.Close()
}

// Stats are the present counters.
func (l *File) Stats() Stats {
	l.statsMu.Lock()
	defer l.statsMu.Unlock()
	return l.stats
}

// Close makes a last attempt to report a loss and closes the file. Streams must be ended before.
func (l *File) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	if l.unreported != (Loss{}) {
		l.flush(time.Now())
	}
	l.closed = true
	return l.f.Close()
}
