package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/berth-run/berth/cni"
)

// addWithPorts makes the pod known, unless one of its host ports belongs to somebody: to another pod, or to a
// process of the host that listens there. A published port takes the packets away from whoever listens, so
// that a pod could put itself in the place of the host's services, the daemon's own among them. Host ports
// that overlap within the pod are its own business.
func (m *Manager) addWithPorts(s *Sandbox) error {
	ports := m.hostPorts(s)
	if len(ports) == 0 {
		m.add(s)
		return nil
	}
	// One at a time: whoever is known first has the port.
	m.portsMu.Lock()
	defer m.portsMu.Unlock()
	for _, o := range m.pods.List() {
		if o == s || !o.holdsPorts() {
			continue
		}
		for _, theirs := range m.hostPorts(o) {
			for _, p := range ports {
				if p.Overlaps(theirs) {
					return fmt.Errorf("host port %s belongs to %s (sandbox %s): stop that pod first, or publish another port: %w",
						p, describe(o.Config.GetMetadata()), o.ID, errdefs.ErrFailedPrecondition)
				}
			}
		}
	}
	// The packets of a port whose DEL is owed may still go to the pod that had it.
	for _, o := range m.queue.Owed() {
		for _, theirs := range o.Attachment.Ports {
			for _, p := range ports {
				if p.Overlaps(theirs) {
					return fmt.Errorf("host port %s still belongs to pod %s/%s (sandbox %s), whose CNI DEL failed and is retried: mend its network, or give the DEL up with berthd cni give-up %s: %w",
						p, o.Attachment.Namespace, o.Attachment.Name, o.Attachment.PodID, o.Attachment.PodID, errdefs.ErrFailedPrecondition)
				}
			}
		}
	}
	for _, p := range ports {
		if listens(p) {
			return fmt.Errorf("host port %s: a process of the host listens there (ss -lnp shows which): end it, or publish another port: %w",
				p, errdefs.ErrFailedPrecondition)
		}
	}
	m.add(s)
	return nil
}

// hostPorts are the ports of the host that the pod publishes, none for one on the host's network.
func (m *Manager) hostPorts(s *Sandbox) []cni.PortMapping {
	if s.HostNetwork() || len(s.Config.GetPortMappings()) == 0 {
		return nil
	}
	att, err := m.attachment(s)
	if err != nil {
		return nil // refused before, or the record of an older build
	}
	return att.Ports
}

// holdsPorts reports whether the pod's network may be attached.
func (s *Sandbox) holdsPorts() bool {
	phase := s.Phase()
	return phase == Creating || phase == Ready
}

// listens reports whether a process of the host takes what comes to a published port. It binds a socket there for a
// moment: where the kernel lets it, nobody listens. Where it does not, that may be for a connection of the host's
// own that happens to have the port, so that the kernel's table of sockets decides. SCTP is not looked at.
func listens(p cni.PortMapping) bool {
	typ := unix.SOCK_STREAM
	switch p.Protocol {
	case "udp":
		typ = unix.SOCK_DGRAM
	case "sctp":
		return false
	}
	addr := p.HostIP.Unmap()
	v4, v6 := !addr.IsValid() || addr.Is4(), !addr.IsValid() || addr.Is6()
	return (v4 && taken(unix.AF_INET, typ, sockaddr4(addr, int(p.HostPort))) ||
		v6 && taken(unix.AF_INET6, typ, sockaddr6(addr, int(p.HostPort)))) && waits(p.Protocol, uint16(p.HostPort))
}

// waits reports whether a socket waits for anybody at a port: a TCP socket that listens, or a UDP socket without
// a peer (proc_net(5): tcp, udp). If the table cannot be read, one does.
func waits(protocol string, port uint16) bool {
	for _, table := range []string{"/proc/net/" + protocol, "/proc/net/" + protocol + "6"} {
		content, err := os.ReadFile(table)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return true
		}
		if waitsIn(content, port) {
			return true
		}
	}
	return false
}

func waitsIn(table []byte, port uint16) bool {
	local := fmt.Sprintf(":%04X", port)
	for line := range bytes.Lines(table) {
		f := bytes.Fields(line)
		// Local address, remote address, state: 0A is LISTEN; a socket without a peer has port 0 there.
		if len(f) > 3 && bytes.HasSuffix(f[1], []byte(local)) && bytes.HasSuffix(f[2], []byte(":0000")) {
			return true
		}
	}
	return false
}

func sockaddr4(addr netip.Addr, port int) unix.Sockaddr {
	a := &unix.SockaddrInet4{Port: port}
	if addr.Is4() {
		a.Addr = addr.As4()
	}
	return a
}

func sockaddr6(addr netip.Addr, port int) unix.Sockaddr {
	a := &unix.SockaddrInet6{Port: port}
	if addr.Is6() {
		a.Addr = addr.As16()
	}
	return a
}

// taken reports whether the kernel refuses an address because a socket has it.
func taken(family, typ int, addr unix.Sockaddr) bool {
	fd, err := unix.Socket(family, typ|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	if family == unix.AF_INET6 {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
	}
	if typ == unix.SOCK_STREAM {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	}
	return errors.Is(unix.Bind(fd, addr), unix.EADDRINUSE)
}
