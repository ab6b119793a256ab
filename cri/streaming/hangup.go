package streaming

import (
	"errors"
	"net"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// hangups tells when a peer closes its connection, even while what it sent before
// lies unread: a process that does not read its stdin, or a port that nobody
// serves, would otherwise hide that the client has gone. One goroutine waits for all.
// Only when more lies unread than the socket's buffers hold, the client's end cannot reach
// this host before TCP gives the client up, which takes minutes.
type hangups struct {
	epoll int
	wake  int // eventfd that ends the goroutine
	done  chan struct{}

	mu     sync.Mutex
	next   int32
	byID   map[int32]func()
	closed bool
}

func newHangups() (*hangups, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err == nil {
		err = unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, wake, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: 0})
	}
	if err != nil {
		unix.Close(epoll)
		return nil, err
	}
	h := &hangups{epoll: epoll, wake: wake, done: make(chan struct{}), byID: map[int32]func(){}}
	go h.run()
	return h, nil
}

// watch calls gone, once at most, when the peer of c has closed its end. forget
// must be called before c is closed for good; later is harmless.
func (h *hangups) watch(c net.Conn, gone func()) (forget func()) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return func() {}
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return func() {}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return func() {}
	}
	h.next++
	if h.next <= 0 {
		h.next = 1
	}
	id := h.next
	// The number in the event is ours, not the descriptor: that may be another's by then.
	_ = raw.Control(func(fd uintptr) {
		ev := unix.EpollEvent{Events: unix.EPOLLRDHUP | unix.EPOLLONESHOT, Fd: id}
		if unix.EpollCtl(h.epoll, unix.EPOLL_CTL_ADD, int(fd), &ev) == nil {
			h.byID[id] = gone
		}
	})
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.byID, id)
		if h.closed {
			return
		}
		_ = raw.Control(func(fd uintptr) { _ = unix.EpollCtl(h.epoll, unix.EPOLL_CTL_DEL, int(fd), nil) })
	}
}

func (h *hangups) run() {
	defer close(h.done)
	events := make([]unix.EpollEvent, 64)
	for {
		n, err := unix.EpollWait(h.epoll, events, -1)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return
		}
		for _, ev := range events[:n] {
			if ev.Fd == 0 {
				return
			}
			h.mu.Lock()
			gone := h.byID[ev.Fd]
			delete(h.byID, ev.Fd)
			h.mu.Unlock()
			if gone != nil {
				gone()
			}
		}
	}
}

// close ends the goroutine. Connections that are still watched are not any more.
func (h *hangups) close() {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return
	}
	h.closed = true
	h.mu.Unlock()
	_, _ = unix.Write(h.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	<-h.done
	unix.Close(h.wake)
	unix.Close(h.epoll)
}
