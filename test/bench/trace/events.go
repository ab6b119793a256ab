package trace

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berth-run/berth/test/bench/acct"
)

// Kinds of events of the kernel's process connector (linux/cn_proc.h).
const (
	eventFork = 0x00000001
	eventExec = 0x00000002
	eventExit = 0x80000000
)

// event is something that happened to a process; threads have none here.
type event struct {
	kind        uint32
	at          time.Duration // of the monotonic clock
	pid, parent int
	command     string // of an exec, as far as it could be read in time
}

// connector listens to the kernel's process connector, which costs the traced programs
// nothing, unlike ptrace.
type connector struct{ fd int }

const (
	connectorProcess = 1 // CN_IDX_PROC and CN_VAL_PROC
	listenOp         = 1 // PROC_CN_MCAST_LISTEN
	nlHeader         = unix.NLMSG_HDRLEN
	cnHeader         = 20
	receiveBuffer    = 8 << 20
)

func newConnector() (*connector, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_CONNECTOR)
	if err != nil {
		return nil, fmt.Errorf("process connector: %w", err)
	}
	c := &connector{fd}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer)
	err = errors.Join(
		unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: connectorProcess}),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000}),
		unix.Sendto(fd, listenMessage(), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}))
	if err != nil {
		c.close()
		return nil, fmt.Errorf("process connector: %w", err)
	}
	return c, nil
}

func (c *connector) close() { _ = unix.Close(c.fd) }

func listenMessage() []byte {
	m := make([]byte, nlHeader+cnHeader+4)
	order := binary.NativeEndian
	order.PutUint32(m[0:], uint32(len(m)))
	order.PutUint16(m[4:], unix.NLMSG_DONE)
	order.PutUint32(m[nlHeader:], connectorProcess)
	order.PutUint32(m[nlHeader+4:], connectorProcess)
	order.PutUint16(m[nlHeader+16:], 4)
	order.PutUint32(m[nlHeader+cnHeader:], listenOp)
	return m
}

// collect returns what happens to processes until stop is closed.
func (c *connector) collect(stop <-chan struct{}) []event {
	var events []event
	buf := make([]byte, 4096)
	for {
		n, _, err := unix.Recvfrom(c.fd, buf, 0)
		if err == nil {
			if e, ok := decode(buf[:n]); ok {
				if e.kind == eventExec {
					if e.command = acct.CommandLine(e.pid); e.command == "" {
						e.command = "(gone before it was looked at)"
					}
				}
				events = append(events, e)
			}
			continue
		}
		select {
		case <-stop: // and nothing waits any more
			return events
		default:
		}
	}
}

// decode reads a message; that of a thread is none.
func decode(m []byte) (event, bool) {
	order := binary.NativeEndian
	if len(m) < nlHeader+cnHeader+32 {
		return event{}, false
	}
	m = m[nlHeader+cnHeader:]
	e := event{kind: order.Uint32(m), at: time.Duration(order.Uint64(m[8:]))}
	word := func(n int) int { return int(order.Uint32(m[16+4*n:])) }
	switch e.kind {
	case eventFork:
		e.parent, e.pid = word(1), word(3)
		return e, word(2) == word(3)
	case eventExec, eventExit:
		e.pid = word(1)
		return e, word(0) == word(1)
	default:
		return event{}, false
	}
}

// now is the monotonic clock's time, which events have, too.
func now() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	return time.Duration(t.Nano())
}
