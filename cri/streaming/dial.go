package streaming

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/berth-run/berth/internal/netns"
	"golang.org/x/sys/unix"
)

// dialPod connects to a port on the pod's loopback, IPv4 first, then IPv6: a
// server may listen on either alone.
func dialPod(ctx context.Context, network PodNetwork, port int32, timeout time.Duration) (*net.TCPConn, error) {
	c, err4 := dialLoopback(ctx, network, &unix.SockaddrInet4{Port: int(port), Addr: [4]byte{127, 0, 0, 1}}, timeout)
	if err4 == nil {
		return c, nil
	}
	c, err6 := dialLoopback(ctx, network, &unix.SockaddrInet6{Port: int(port), Addr: [16]byte{15: 1}}, timeout)
	if err6 == nil {
		return c, nil
	}
	if errors.Is(err6, unix.EADDRNOTAVAIL) || errors.Is(err6, unix.EAFNOSUPPORT) {
		return nil, fmt.Errorf("127.0.0.1: %w", err4) // the pod has no IPv6
	}
	return nil, fmt.Errorf("127.0.0.1: %w; ::1: %w", err4, err6)
}

// dialLoopback makes the socket in the pod's network namespace and connects outside of
// it: a socket keeps its namespace, so no thread is held in there while connecting.
func dialLoopback(ctx context.Context, network PodNetwork, addr unix.Sockaddr, timeout time.Duration) (*net.TCPConn, error) {
	family := unix.AF_INET
	if _, ok := addr.(*unix.SockaddrInet6); ok {
		family = unix.AF_INET6
	}
	fd := -1
	socket := func() (err error) {
		fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		return os.NewSyscallError("socket", err)
	}
	var err error
	if network.Host {
		err = socket()
	} else {
		err = netns.Do(network.NetnsPath, socket)
	}
	if err != nil {
		if fd >= 0 {
			unix.Close(fd)
		}
		return nil, err
	}
	err = unix.Connect(fd, addr)
	f := os.NewFile(uintptr(fd), "pod port")
	defer f.Close() // the connection has its own copy
	if err != nil && !errors.Is(err, unix.EINPROGRESS) && !errors.Is(err, unix.EINTR) {
		return nil, os.NewSyscallError("connect", err)
	}
	if err := waitConnected(ctx, f, timeout); err != nil {
		return nil, err
	}
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

// waitConnected waits until a socket is connected or has failed to.
func waitConnected(ctx context.Context, f *os.File, timeout time.Duration) error {
	if err := f.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = f.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	err = raw.Write(func(fd uintptr) bool {
		code, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		switch {
		case err != nil:
			result = os.NewSyscallError("getsockopt", err)
		case code != 0:
			result = os.NewSyscallError("connect", syscall.Errno(code))
		default:
			// No error and no peer: still under way.
			_, err := unix.Getpeername(int(fd))
			return err == nil
		}
		return true
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("nobody answered within %s", timeout)
	}
	return errors.Join(err, result)
}
