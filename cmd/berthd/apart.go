package main

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/containerd/errdefs"
)

// freePorts bounds how many free ports are tried for one that no pod publishes.
const freePorts = 100

// listenApart opens a TCP listener at an address, host:port, whose connections go to no pod. A pod that publishes a
// port has no socket there: the kernel sends the packets on to the pod before it looks for one, so that a listener can be
// opened and never hears anything, while the pod receives what clients send, their tokens too. owner names the pod
// that receives the connections to an address, "" for none. With port 0 another free port is taken; any other port
// that a pod has is errdefs.ErrFailedPrecondition.
func listenApart(address string, owner func(netip.AddrPort) string) (net.Listener, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	pod := ""
	for range freePorts {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return nil, err
		}
		at := l.Addr().(*net.TCPAddr).AddrPort()
		if pod = owner(at); pod == "" {
			return l, nil
		}
		defer l.Close() // at the end: the kernel does not offer the same port again meanwhile
		if port != "0" {
			return nil, fmt.Errorf("connections to %s go to %s, which publishes the port: configure another port, or start with another one and stop that pod: %w",
				at, pod, errdefs.ErrFailedPrecondition)
		}
	}
	return nil, fmt.Errorf("%d free ports were tried, and pods publish each of them, the last one %s: configure a port: %w", freePorts, pod, errdefs.ErrFailedPrecondition)
}
