package service

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/berth-run/berth/shim/taskapi"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

const (
	// fifoTimeout bounds the wait for somebody who reads a FIFO.
	fifoTimeout = 30 * time.Second
	// relayBytes is what a relay takes at once.
	relayBytes = 4 << 10
)

// relay is what the shim holds of a process whose streams are FIFOs. Without a terminal the process
// has the FIFOs themselves as its streams, so that nothing is copied and it learns of a reader that
// goes; the shim then only holds stdin open for writing, until it is closed by a call.
type relay struct {
	console *os.File // nil: no terminal
	in, out *os.File // with a terminal

	// readers keep a container from being killed by SIGPIPE when the reader of a FIFO goes.
	readers []*os.File

	mu    sync.Mutex
	stdin *os.File // the writing end, nil when closed

	// copied is closed when a terminal's output has been passed on.
	copied chan struct{}
}

// keepReaders makes writers of the FIFOs block, rather than die, when nobody reads any more.
func (r *relay) keepReaders(s taskapi.Stdio) error {
	for _, path := range []string{s.Stdout, s.Stderr} {
		if path == "" {
			continue
		}
		f, err := openFIFO(path, unix.O_RDONLY)
		if err != nil {
			return err
		}
		r.readers = append(r.readers, f)
	}
	return nil
}

// openFIFOs opens the FIFOs of a process without a terminal. The process's ends belong to uid:gid.
func openFIFOs(s taskapi.Stdio, uid, gid int) (r *relay, theirs stdio, err error) {
	r = &relay{}
	defer func() {
		if err != nil {
			theirs.close()
			r.close()
			r, theirs = nil, stdio{}
		}
	}()
	if theirs.in, err = r.openStdin(s.Stdin); err != nil {
		return
	}
	if theirs.out, err = openOutput(s.Stdout); err != nil {
		return
	}
	if theirs.err, err = openOutput(s.Stderr); err != nil {
		return
	}
	for _, f := range []*os.File{theirs.in, theirs.out, theirs.err} {
		if f == nil {
			continue
		}
		if err = unix.SetNonblock(int(f.Fd()), false); err != nil {
			return
		}
		if uid != 0 || gid != 0 {
			if err = unix.Fchown(int(f.Fd()), uid, gid); err != nil {
				err = fmt.Errorf("give FIFO to %d:%d: %w", uid, gid, err)
				return
			}
		}
	}
	return
}

// openStdin opens the reading end, and holds the writing end: the process finds no end of its input
// before that is asked for.
func (r *relay) openStdin(path string) (*os.File, error) {
	if path == "" {
		return nil, nil
	}
	in, err := openFIFO(path, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	if r.stdin, err = openFIFO(path, unix.O_WRONLY); err != nil {
		in.Close()
		return nil, err
	}
	return in, nil
}

// openOutput opens the writing end, which waits for a reader where there is none yet.
func openOutput(path string) (*os.File, error) {
	if path == "" {
		return nil, nil
	}
	f, err := openFIFO(path, unix.O_WRONLY)
	if !errors.Is(err, unix.ENXIO) {
		return f, err
	}
	// While the FIFO is held open for both, the wait can be ended from here.
	timer := time.AfterFunc(fifoTimeout, func() {
		if hold, err := openFIFO(path, unix.O_RDWR); err == nil {
			hold.Close()
		}
	})
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		timer.Stop()
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	_ = unix.SetNonblock(fd, true)
	f = os.NewFile(uintptr(fd), path)
	if !timer.Stop() {
		f.Close()
		return nil, fmt.Errorf("nobody has opened FIFO %s for reading within %v: %w", path, fifoTimeout, errdefs.ErrUnavailable)
	}
	return f, nil
}

func openFIFO(path string, mode int) (*os.File, error) {
	fd, err := unix.Open(path, mode|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFIFO {
		unix.Close(fd)
		return nil, fmt.Errorf("%s is not a FIFO, other streams are not served: %w", path, errdefs.ErrInvalidArgument)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// relayTerminal copies between a terminal and FIFOs.
func relayTerminal(console *os.File, s taskapi.Stdio) (r *relay, err error) {
	r = &relay{console: console, copied: make(chan struct{})}
	if r.in, err = r.openStdin(s.Stdin); err != nil {
		return nil, err
	}
	if r.out, err = openOutput(s.Stdout); err != nil {
		close(r.copied)
		r.close()
		return nil, err
	}
	go func() {
		defer close(r.copied)
		pass(r.out, console)
		if r.out != nil {
			r.out.Close()
		}
	}()
	if r.in != nil {
		go func() {
			pass(console, r.in)
			r.in.Close()
		}()
	}
	return r, nil
}

// pass copies until from ends. What to does not take any more is dropped: the other side must not
// block.
func pass(to, from *os.File) {
	buf := make([]byte, relayBytes)
	for {
		n, err := from.Read(buf)
		if n > 0 && to != nil {
			if _, werr := to.Write(buf[:n]); werr != nil {
				to = nil
			}
		}
		if err != nil {
			if err == io.EOF && n > 0 {
				continue
			}
			return
		}
	}
}

const (
	// takenTimeout bounds the wait for output that nobody reads.
	takenTimeout = 500 * time.Millisecond
	takenPause   = time.Millisecond
)

// awaitTaken waits until the output in the FIFOs has been read: containerd's client closes them
// unread once an exec is deleted. A FIFO has no event for having become empty, hence the loop, which
// hardly anybody gets into.
func (r *relay) awaitTaken(s taskapi.Stdio) {
	for _, path := range []string{s.Stdout, s.Stderr} {
		if path == "" {
			continue
		}
		f, err := openFIFO(path, unix.O_RDONLY)
		if err != nil {
			continue // removed by its reader
		}
		for begin, pause := time.Now(), takenPause; unread(f) > 0 && time.Since(begin) < takenTimeout; pause *= 2 {
			time.Sleep(pause)
		}
		f.Close()
	}
}

// unread is how many bytes are in a FIFO.
func unread(f *os.File) (n int) {
	rc, err := f.SyscallConn()
	if err != nil {
		return 0
	}
	_ = rc.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
	return n
}

// closeStdin lets the process find the end of its input.
func (r *relay) closeStdin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stdin != nil {
		r.stdin.Close()
		r.stdin = nil
	}
}

// close lets go of everything, after what a terminal has still to say.
func (r *relay) close() {
	r.closeStdin()
	for _, f := range r.readers {
		f.Close()
	}
	if r.in != nil {
		_ = r.in.SetReadDeadline(time.Now())
	}
	if r.console == nil {
		return
	}
	if !waitFor(r.copied, drainTimeout) {
		_ = r.console.SetReadDeadline(time.Now())
		if r.out != nil {
			_ = r.out.SetWriteDeadline(time.Now())
		}
		<-r.copied
	}
	r.console.Close()
}
