package hostsocket

import (
	"context"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

var all netip.Addr // every address of both families

func listen(t *testing.T, network, address string) netip.AddrPort {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().(*net.TCPAddr).AddrPort()
}

func listenUDP(t *testing.T, address string) netip.AddrPort {
	t.Helper()
	c, err := net.ListenPacket("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}

// dial connects from an address, any when that is nil, and returns what it got.
func dial(t *testing.T, network string, from net.Addr, to netip.AddrPort) netip.AddrPort {
	t.Helper()
	c, err := (&net.Dialer{LocalAddr: from}).DialContext(context.Background(), network, to.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return netip.MustParseAddrPort(c.LocalAddr().String())
}

// bind makes a TCP socket at 127.0.0.1 that does not listen.
func bind(t *testing.T, shared int) netip.AddrPort {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, shared); err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	at, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	in := at.(*unix.SockaddrInet4)
	return netip.AddrPortFrom(netip.AddrFrom4(in.Addr), uint16(in.Port))
}

func want(t *testing.T, what, protocol string, addr netip.Addr, port uint16, taken bool) {
	t.Helper()
	if got := new(Look).Taken(protocol, addr, port); got != taken {
		t.Errorf("%s, seen from %v: taken %t, should be %t", what, addr, got, taken)
	}
}

// TestTaken: a socket that waits for anybody has its port, and so has one that is bound; a connection of the
// host's own has not.
func TestTaken(t *testing.T) {
	server, udp := listen(t, "tcp4", "127.0.0.1:0"), listenUDP(t, "127.0.0.1:0")
	want(t, "a listener", "tcp", all, server.Port(), true)
	want(t, "a connection", "tcp", all, dial(t, "tcp4", nil, server).Port(), false)
	want(t, "a UDP server", "udp", all, udp.Port(), true)
	want(t, "a UDP client with a peer", "udp", all, dial(t, "udp4", nil, udp).Port(), false)
	want(t, "a bound socket", "tcp", all, bind(t, 0).Port(), true)
	want(t, "a bound socket that shares its address", "tcp", all, bind(t, 1).Port(), false)
	want(t, "a listener of another protocol", "sctp", all, server.Port(), false)
}

// TestTakenAddress: a socket has its port at its own address only, as the kernel has it.
func TestTakenAddress(t *testing.T) {
	one, two := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")
	server := listen(t, "tcp4", "127.0.0.1:0")
	port := server.Port()
	want(t, "a listener at 127.0.0.1", "tcp", one, port, true)
	want(t, "a listener at 127.0.0.1", "tcp", netip.AddrFrom16(one.As16()), port, true)
	want(t, "a listener at 127.0.0.1", "tcp", netip.IPv4Unspecified(), port, true)
	want(t, "a listener at 127.0.0.1", "tcp", two, port, false)
	// The kernel refuses 127.0.0.2 from here on, because of the connection. The listener is not the reason.
	dial(t, "tcp4", &net.TCPAddr{IP: two.AsSlice(), Port: int(port)}, listen(t, "tcp4", "127.0.0.1:0"))
	want(t, "a connection from 127.0.0.2 beside a listener at 127.0.0.1", "tcp", two, port, false)
	want(t, "a connection from 127.0.0.2 beside a listener at 127.0.0.1", "tcp", all, port, true)

	bound := bind(t, 0).Port()
	dial(t, "tcp4", &net.TCPAddr{IP: two.AsSlice(), Port: int(bound)}, server)
	want(t, "a bound socket at 127.0.0.1 beside a connection from 127.0.0.2", "tcp", one, bound, true)

	udp := listenUDP(t, "127.0.0.1:0").Port()
	want(t, "a UDP server at 127.0.0.1", "udp", one, udp, true)
	want(t, "a UDP server at 127.0.0.1", "udp", two, udp, false)
}

// TestTakenIPv6: a listener at :: has IPv4 as well, one at ::1 has not.
func TestTakenIPv6(t *testing.T) {
	loopback, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Skip("needs IPv6 on the loopback interface:", err)
	}
	defer loopback.Close()
	own := netip.MustParseAddrPort(loopback.Addr().String()).Port()
	want(t, "a listener at ::1", "tcp", netip.IPv6Loopback(), own, true)
	want(t, "a listener at ::1", "tcp", all, own, true)
	want(t, "a listener at ::1", "tcp", netip.IPv4Unspecified(), own, false)
	dual := listen(t, "tcp", "[::]:0").Port()
	want(t, "a listener at ::", "tcp", netip.MustParseAddr("127.0.0.1"), dual, true)
	want(t, "a listener at ::", "tcp", netip.IPv6Unspecified(), dual, true)
	client := dial(t, "tcp", nil, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), dual)).Port()
	want(t, "a connection to a listener at ::", "tcp", all, client, false)
}

// TestOldTable: a table that was read before a socket came is read again before it decides.
func TestOldTable(t *testing.T) {
	var look Look
	look.tables = map[string]table{"tcp": {}}
	if client := dial(t, "tcp4", nil, listen(t, "tcp4", "127.0.0.1:0")); look.Taken("tcp", all, client.Port()) {
		t.Error("a connection that is younger than the table counts as a bound socket")
	}
}
