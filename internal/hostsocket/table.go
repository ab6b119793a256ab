package hostsocket

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"strconv"
)

// table has the sockets of a protocol by their local port.
type table struct {
	sockets map[uint16][]socket
	err     error // a file that exists and cannot be read
}

// socket is a line of a table.
type socket struct {
	local     netip.Addr
	connected bool // has a peer; a socket without one waits for anybody
}

// covers reports whether the socket may be what keeps another one from an address: both are the same, or one of them
// means all addresses. A socket at :: counts for IPv4 too, since the tables do not say whether it has IPv6 alone. The
// invalid address is covered by every socket.
func (s socket) covers(addr netip.Addr) bool {
	switch {
	case !addr.IsValid() || s.local == addr:
		return true
	case s.local == netip.IPv6Unspecified():
		return true
	case s.local.Is4() != addr.Is4():
		return false
	}
	return s.local.IsUnspecified() || addr.IsUnspecified()
}

// readTable reads the tables of the calling process's network namespace, see proc_net(5). Those of a protocol that
// the kernel does not have are empty.
func readTable(protocol string) table {
	files, parse := []string{"/proc/net/" + protocol, "/proc/net/" + protocol + "6"}, parseSockets
	if protocol == "sctp" {
		files, parse = []string{"/proc/net/sctp/eps"}, parseEndpoints
	}
	t := table{sockets: map[uint16][]socket{}}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.err = err
		}
		parse(content, t.sockets)
	}
	return t
}

// parseSockets reads a table of TCP or UDP: the second field of a line is the local address, the third the remote one.
func parseSockets(content []byte, into map[uint16][]socket) {
	for line := range bytes.Lines(content) {
		f := bytes.Fields(line)
		if len(f) < 4 {
			continue
		}
		local, ok := parseAddrPort(f[1])
		if !ok {
			continue // the heading
		}
		remote, _ := parseAddrPort(f[2])
		s := socket{local: local.Addr().Unmap(), connected: remote.Port() != 0}
		into[local.Port()] = append(into[local.Port()], s)
	}
}

// parseAddrPort reads "0100007F:1F90": the address in words of the machine's byte order, each a hexadecimal
// number, and the port.
func parseAddrPort(field []byte) (netip.AddrPort, bool) {
	words, last, ok := bytes.Cut(field, []byte(":"))
	if !ok || len(words) != 8 && len(words) != 32 {
		return netip.AddrPort{}, false
	}
	port, err := strconv.ParseUint(string(last), 16, 16)
	if err != nil {
		return netip.AddrPort{}, false
	}
	var raw []byte
	for ; len(words) > 0; words = words[8:] {
		word, err := strconv.ParseUint(string(words[:8]), 16, 32)
		if err != nil {
			return netip.AddrPort{}, false
		}
		raw = binary.NativeEndian.AppendUint32(raw, uint32(word))
	}
	addr, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(addr, uint16(port)), ok
}

// parseEndpoints reads the SCTP endpoints that listen: the sixth field of a line is the port, from the ninth on come
// the addresses, several where the endpoint is bound to several.
func parseEndpoints(content []byte, into map[uint16][]socket) {
	const portField, addressField = 5, 8
	for line := range bytes.Lines(content) {
		f := bytes.Fields(line)
		if len(f) <= addressField {
			continue
		}
		port, err := strconv.ParseUint(string(f[portField]), 10, 16)
		if err != nil {
			continue // the heading
		}
		for _, text := range f[addressField:] {
			if addr, err := netip.ParseAddr(string(text)); err == nil {
				into[uint16(port)] = append(into[uint16(port)], socket{local: addr.Unmap()})
			}
		}
	}
}
