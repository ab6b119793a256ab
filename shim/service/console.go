package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// consoleTimeout bounds the wait for a terminal that the runtime says it has sent.
const consoleTimeout = 10 * time.Second

// consoleSocket is where the runtime sends the terminal of a process.
type consoleSocket struct {
	// name is relative to the bundle, whose path may be too long for a socket's address.
	name string
	path string
	l    *net.UnixListener
}

// consoles numbers the sockets of this process.
var consoles atomic.Uint64

func listenConsole(bundle string) (*consoleSocket, error) {
	dir, err := unix.Open(bundle, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open bundle %s: %w", bundle, err)
	}
	defer unix.Close(dir)
	name := "tty" + strconv.FormatUint(consoles.Add(1), 10)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: fmt.Sprintf("/proc/self/fd/%d/%s", dir, name), Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("make the socket for the terminal: %w", err)
	}
	l.SetUnlinkOnClose(false)
	return &consoleSocket{name: name, path: filepath.Join(bundle, name), l: l}, nil
}

func (s *consoleSocket) close() {
	s.l.Close()
	os.Remove(s.path)
}

// receive returns the terminal that the runtime has sent, ready for use with a poller.
func (s *consoleSocket) receive(ctx context.Context) (*os.File, error) {
	defer s.close()
	deadline := time.Now().Add(consoleTimeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	_ = s.l.SetDeadline(deadline)
	conn, err := s.l.AcceptUnix()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(deadline)
	name, oob := make([]byte, 4096), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := conn.ReadMsgUnix(name, oob)
	if err != nil {
		return nil, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(messages) != 1 {
		return nil, fmt.Errorf("the runtime sent no terminal: %w", errors.Join(err, errdefs.ErrDataLoss))
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, fmt.Errorf("the runtime sent no terminal: %w", errors.Join(err, errdefs.ErrDataLoss))
	}
	unix.CloseOnExec(fds[0])
	if err := unix.SetNonblock(fds[0], true); err != nil {
		unix.Close(fds[0])
		return nil, err
	}
	return os.NewFile(uintptr(fds[0]), "terminal"), nil
}

// terminalStreams makes the shim's streams out of a terminal: each closes on its own.
func terminalStreams(console *os.File, stdin bool) (s streams, err error) {
	if s.out, err = duplicate(console); err == nil && stdin {
		s.in, err = duplicate(console)
	}
	if err != nil {
		s.close()
		return streams{}, fmt.Errorf("connect the terminal: %w", err)
	}
	return s, nil
}

func duplicate(f *os.File) (*os.File, error) {
	rc, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd := -1
	var derr error
	if err := rc.Control(func(old uintptr) { fd, derr = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return nil, err
	}
	if derr != nil {
		return nil, derr
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// resize sets the size of the container's terminal, in characters. Without one it does nothing.
func (c *container) resize(width, height uint16) error { return resize(c.console, width, height) }

func resize(console *os.File, width, height uint16) error {
	if console == nil {
		return nil
	}
	rc, err := console.SyscallConn()
	if err != nil {
		return fmt.Errorf("resize the terminal: %w", err)
	}
	var serr error
	if err := rc.Control(func(fd uintptr) {
		serr = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Col: width, Row: height})
	}); err != nil {
		return fmt.Errorf("resize the terminal: the process has ended: %w: %w", err, errdefs.ErrFailedPrecondition)
	}
	return serr
}
