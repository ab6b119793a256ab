package service

import (
	"errors"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/berth-run/berth/shim/api"
	"github.com/berth-run/berth/shim/crilog"
	"golang.org/x/sys/unix"
)

const (
	// readBytes is what one read takes.
	readBytes = 64 << 10
	// lastReadBytes bounds what is read after the time for draining is up.
	lastReadBytes = 2 * pipeBytes
)

// bufPool holds read buffers of all containers; an idle reader holds none.
type bufPool struct{ sync.Pool }

func newBufPool() *bufPool {
	return &bufPool{sync.Pool{New: func() any { return new([readBytes]byte) }}}
}

// reader takes one output stream of a container to its log and its attached clients.
type reader struct {
	f    *os.File
	id   api.StreamID
	log  *crilog.Stream // nil: not logged
	fan  *fanout
	bufs *bufPool
	done chan struct{}
}

// run reads until the stream ends or stop was called, and closes done.
func (r *reader) run() {
	defer close(r.done)
	defer r.f.Close()
	if r.log != nil {
		defer r.log.End()
	}
	rc, err := r.f.SyscallConn()
	if err != nil {
		return
	}
	for {
		switch err := r.next(rc); {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded):
			r.last(rc)
			return
		default:
			return
		}
	}
}

var errEnd = errors.New("end of stream")

// errGone ends a client that has closed its connection.
var errGone = errors.New("the client has gone")

// next waits for output and passes on what one read gets.
func (r *reader) next(rc syscall.RawConn) error {
	var rerr error
	err := rc.Read(func(fd uintptr) bool {
		var again bool
		again, rerr = r.take(int(fd))
		return !again
	})
	if err != nil {
		return err
	}
	return rerr
}

// take reads once; again means that there is nothing yet.
func (r *reader) take(fd int) (again bool, err error) {
	buf := r.bufs.Get().(*[readBytes]byte)
	defer r.bufs.Put(buf)
	n, err := unix.Read(fd, buf[:])
	switch {
	case err == unix.EINTR:
		return false, nil
	case err == unix.EAGAIN:
		return true, nil
	case err != nil:
		return false, err
	case n == 0:
		return false, errEnd
	}
	if r.log != nil {
		_, _ = r.log.Write(buf[:n]) // counts what it cannot write
	}
	r.fan.send(r.id, buf[:n])
	return false, nil
}

// last takes what is in the pipe at this moment.
func (r *reader) last(rc syscall.RawConn) {
	_ = rc.Control(func(fd uintptr) {
		for range lastReadBytes / readBytes {
			if again, err := r.take(int(fd)); again || err != nil {
				return
			}
		}
	})
}

// stop makes run end after it has taken what is in the pipe now.
func (r *reader) stop() { _ = r.f.SetReadDeadline(time.Now()) }
