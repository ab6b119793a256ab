package sandbox

import (
	"fmt"
	"net/netip"

	"github.com/containerd/errdefs"

	"github.com/berth-run/berth/cni"
	"github.com/berth-run/berth/internal/hostsocket"
)

// addWithPorts makes the pod known, unless one of its host ports belongs to somebody: to another pod, or to a
// process of the host that waits there. A published port takes the packets away from whoever waits, so
// that a pod could put itself in the place of the host's services, the daemon's own among them. Host ports
// that overlap within the pod are its own business.
func (m *Manager) addWithPorts(s *Sandbox) error {
	ports := hostPorts(s)
	if len(ports) == 0 {
		m.add(s)
		return nil
	}
	// One at a time: whoever is known first has the port.
	m.portsMu.Lock()
	defer m.portsMu.Unlock()
	owners := m.portOwners()
	for _, p := range ports {
		if o := owners.of(p); o != nil {
			return fmt.Errorf("host port %s belongs to %s: %s: %w", p, o.pod, o.remedy, errdefs.ErrFailedPrecondition)
		}
	}
	var look hostsocket.Look
	for _, p := range ports {
		if look.Taken(p.Protocol, p.HostIP, uint16(p.HostPort)) {
			return fmt.Errorf("host port %s: a process of the host listens there (ss -anp shows which): end it, or publish another port: %w",
				p, errdefs.ErrFailedPrecondition)
		}
	}
	m.add(s)
	return nil
}

// PortOwner names the pod that receives the connections to a TCP address of the host, because the pod publishes the
// port or did so and its CNI DEL is owed; "" when there is none.
func (m *Manager) PortOwner(at netip.AddrPort) string {
	addr := at.Addr().Unmap()
	if addr == netip.IPv6Unspecified() { // a listener there has IPv4 too
		addr = netip.Addr{}
	}
	if o := m.portOwners().of(cni.PortMapping{Protocol: "tcp", HostIP: addr, HostPort: int32(at.Port())}); o != nil {
		return o.pod
	}
	return ""
}

// portOwner is a pod that has a port of the host.
type portOwner struct {
	port   cni.PortMapping
	pod    string
	remedy string // what makes the port free
}

// portKey is what two claims on the same port have in common, whatever their addresses.
type portKey struct {
	protocol string
	port     int32
}

// portOwners has the owners of the host's ports.
type portOwners map[portKey][]portOwner

// portOwners lists the ports of all pods that are or may be attached, and those whose CNI DEL is owed: packets to these may
// still go to where the pod was.
func (m *Manager) portOwners() portOwners {
	owners := portOwners{}
	for _, o := range m.pods.List() {
		ports := hostPorts(o)
		if len(ports) == 0 || !o.holdsPorts() {
			continue
		}
		owners.add(ports, fmt.Sprintf("%s (sandbox %s)", describe(o.Config.GetMetadata()), o.ID),
			"stop that pod first, or publish another port")
	}
	for _, o := range m.queue.Owed() {
		att := o.Attachment
		owners.add(att.Ports, fmt.Sprintf("pod %s/%s (sandbox %s), whose CNI DEL failed and is retried", att.Namespace, att.Name, att.PodID),
			"mend its network, or give the DEL up with berthd cni give-up "+att.PodID)
	}
	return owners
}

func (o portOwners) add(ports []cni.PortMapping, pod, remedy string) {
	for _, p := range ports {
		k := portKey{p.Protocol, p.HostPort}
		o[k] = append(o[k], portOwner{port: p, pod: pod, remedy: remedy})
	}
}

// of is an owner of the port, nil when nobody has it.
func (o portOwners) of(p cni.PortMapping) *portOwner {
	for _, owner := range o[portKey{p.Protocol, p.HostPort}] {
		if p.Overlaps(owner.port) {
			return &owner
		}
	}
	return nil
}

// hostPorts are the ports of the host that the pod publishes, none for one on the host's network.
func hostPorts(s *Sandbox) []cni.PortMapping {
	if s.HostNetwork() {
		return nil
	}
	ports, err := portMappings(s.Config)
	if err != nil {
		return nil // refused before, or the record of an older build
	}
	return ports
}

// holdsPorts reports whether the pod's network may be attached.
func (s *Sandbox) holdsPorts() bool {
	phase := s.Phase()
	return phase == Creating || phase == Ready
}
