package service

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// stdinCheck is how often a write that the container does not take looks whether its client is
// still there.
const stdinCheck = time.Second

// stdin is the writing end of a container's standard input, shared by attached clients.
type stdin struct {
	f    *os.File
	once bool
	turn chan struct{} // held while writing

	closing sync.Once
	closed  chan struct{}
}

func newStdin(f *os.File, once bool) *stdin {
	return &stdin{f: f, once: once, turn: make(chan struct{}, 1), closed: make(chan struct{})}
}

// write gives p to the container for the client at conn. It blocks while the container does not
// read, until the client has gone or stdin was closed.
func (s *stdin) write(conn *net.UnixConn, p []byte) error {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-s.closed:
		return os.ErrClosed
	}
	for len(p) > 0 {
		if err := s.f.SetWriteDeadline(time.Now().Add(stdinCheck)); err != nil {
			return err
		}
		n, err := s.f.Write(p)
		p = p[n:]
		if errors.Is(err, os.ErrDeadlineExceeded) && !hungUp(conn) {
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// finish closes stdin after the write that is going on, within a bound.
func (s *stdin) finish(bound time.Duration) error {
	timer := time.NewTimer(bound)
	defer timer.Stop()
	select {
	case s.turn <- struct{}{}:
		s.close()
		<-s.turn
		return nil
	case <-s.closed:
		return nil
	case <-timer.C:
		return fmt.Errorf("the container has not read its stdin for %v: %w", bound, errdefs.ErrUnavailable)
	}
}

// close closes stdin at once, breaking off a write.
func (s *stdin) close() {
	s.closing.Do(func() {
		close(s.closed)
		s.f.Close()
	})
}

// hungUp reports whether the other side has closed the connection, even with data still to read.
func hungUp(conn *net.UnixConn) bool {
	rc, err := conn.SyscallConn()
	if err != nil {
		return true
	}
	var revents int16
	if err := rc.Control(func(fd uintptr) {
		p := []unix.PollFd{{Fd: int32(fd)}}
		_, _ = unix.Poll(p, 0)
		revents = p[0].Revents
	}); err != nil {
		return true
	}
	return revents&(unix.POLLHUP|unix.POLLERR) != 0
}
