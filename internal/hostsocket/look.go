package hostsocket

import (
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Look is one look at the sockets of the host, for all ports of one request: the kernel's tables are read once for
// all of them. The zero value is ready. It is not safe for concurrent use.
type Look struct {
	tables map[string]table
}

// Taken reports whether a process of the host has the port at the address: a socket that waits for anybody, or a TCP
// socket that is bound and neither listens nor is connected, unless it shares its address (SO_REUSEADDR). A
// connection that the host made and that happens to have the port does not count. protocol is "tcp", "udp" or
// "sctp". An invalid address means all addresses of both families, an unspecified one all of its family.
//
// For TCP and UDP the kernel is asked first: a socket is bound there for a moment. Where the kernel allows it, the port
// is free. Where it does not, the tables of sockets tell why. SCTP is not tried, because a node would load the
// module of a protocol that it may not use; the list of endpoints that wait exists where the module is loaded.
func (l *Look) Taken(protocol string, addr netip.Addr, port uint16) bool {
	addr = addr.Unmap()
	if protocol == "sctp" {
		waits, _ := l.find(protocol, addr, port)
		return waits
	}
	if !addr.IsValid() {
		return l.taken(protocol, netip.IPv4Unspecified(), port) || l.taken(protocol, netip.IPv6Unspecified(), port)
	}
	return l.taken(protocol, addr, port)
}

// taken is Taken for TCP and UDP, and an address of one family.
func (l *Look) taken(protocol string, addr netip.Addr, port uint16) bool {
	for range 2 {
		if !refused(protocol, addr, port) {
			return false
		}
		waits, connected := l.find(protocol, addr, port)
		if waits || connected {
			return waits
		}
		// Nothing in the tables is the reason. They may be older than the socket: look again, once.
		l.tables = nil
	}
	return true // a socket that is bound and in no table
}

// find looks an address up in the tables of a protocol. It reports whether a socket waits there, and whether a
// connection has the address. A table that cannot be read has a socket that waits.
func (l *Look) find(protocol string, addr netip.Addr, port uint16) (waits, connected bool) {
	t, ok := l.tables[protocol]
	if !ok {
		t = readTable(protocol)
		if l.tables == nil {
			l.tables = map[string]table{}
		}
		l.tables[protocol] = t
	}
	for _, s := range t.sockets[port] {
		if s.covers(addr) {
			waits, connected = waits || !s.connected, connected || s.connected
		}
	}
	return waits || t.err != nil, connected
}

// refused reports whether the kernel refuses an address because another socket has it.
func refused(protocol string, addr netip.Addr, port uint16) bool {
	family, typ := unix.AF_INET, unix.SOCK_STREAM
	if addr.Is6() {
		family = unix.AF_INET6
	}
	if protocol == "udp" {
		typ = unix.SOCK_DGRAM
	}
	fd, err := unix.Socket(family, typ|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	var at unix.Sockaddr
	if addr.Is4() {
		at = &unix.SockaddrInet4{Port: int(port), Addr: addr.As4()}
	} else {
		at = &unix.SockaddrInet6{Port: int(port), Addr: addr.As16()}
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
	}
	if typ == unix.SOCK_STREAM { // as servers do, or the remains of closed connections would hold the port
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	}
	return errors.Is(unix.Bind(fd, at), unix.EADDRINUSE)
}
