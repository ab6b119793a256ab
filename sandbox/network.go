package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/klog/v2"

	"github.com/berth-run/berth/cni"
	"github.com/berth-run/berth/internal/netns"
)

// namespaceSpec says which namespaces are pinned for the pod.
func (m *Manager) namespaceSpec(s *Sandbox) netns.Spec {
	own := !s.HostNetwork()
	spec := netns.Spec{
		Dir:     m.paths.PodNamespaces(s.ID),
		Net:     own,
		UTS:     own,
		IPC:     !s.HostIPC(),
		Sysctls: m.sysctls(s),
	}
	if own {
		spec.Hostname = hostname(s)
	}
	if u := s.UserNamespace(); u != nil {
		spec.User = &netns.UserSpec{UIDs: idMaps(u.GetUids()), GIDs: idMaps(u.GetGids())}
	}
	return spec
}

// sysctls are those of the request, and the defaults that let containers without
// capabilities listen on low ports and send pings.
func (m *Manager) sysctls(s *Sandbox) map[string]string {
	out := map[string]string{}
	if !s.HostNetwork() && m.Config.Container.EnableUnprivilegedPorts {
		out["net.ipv4.ip_unprivileged_port_start"] = "0"
	}
	// In a user namespace the range would have to lie inside the mapping.
	if !s.HostNetwork() && m.Config.Container.EnableUnprivilegedICMP && s.UserNamespace() == nil {
		out["net.ipv4.ping_group_range"] = "0 2147483647"
	}
	for k, v := range s.Config.GetLinux().GetSysctls() {
		out[strings.ReplaceAll(k, "/", ".")] = v
	}
	return out
}

// hostname of the pod; the host's where the request has none.
func hostname(s *Sandbox) string {
	if h := s.Config.GetHostname(); h != "" {
		return h
	}
	h, _ := os.Hostname()
	return h
}

func idMaps(in []*runtimeapi.IDMapping) []netns.IDMap {
	out := make([]netns.IDMap, 0, len(in))
	for _, m := range in {
		out = append(out, netns.IDMap{ContainerID: m.GetContainerId(), HostID: m.GetHostId(), Length: m.GetLength()})
	}
	return out
}

// attachment is the pod as CNI plugins see it; it follows from the record alone.
func (m *Manager) attachment(s *Sandbox) (cni.Attachment, error) {
	meta, dns := s.Config.GetMetadata(), s.Config.GetDnsConfig()
	att := cni.Attachment{
		PodID:        s.ID,
		Namespace:    meta.GetNamespace(),
		Name:         meta.GetName(),
		UID:          meta.GetUid(),
		NetNS:        m.cniNetNS(s.ID),
		Annotations:  s.Config.GetAnnotations(),
		CgroupParent: s.CgroupParent,
		DNS:          cni.DNS{Servers: dns.GetServers(), Searches: dns.GetSearches(), Options: dns.GetOptions()},
	}
	var err error
	att.Ports, err = portMappings(s.Config)
	return att, err
}

// portMappings are the ports that a pod asks to be published; those without a host port are not.
func portMappings(config *runtimeapi.PodSandboxConfig) (ports []cni.PortMapping, err error) {
	for i, p := range config.GetPortMappings() {
		if p.GetHostPort() == 0 {
			continue
		}
		mapping := cni.PortMapping{
			Protocol:      strings.ToLower(p.GetProtocol().String()),
			ContainerPort: p.GetContainerPort(),
			HostPort:      p.GetHostPort(),
		}
		if ip := p.GetHostIp(); ip != "" {
			if mapping.HostIP, err = netip.ParseAddr(ip); err != nil {
				return ports, invalid("config.port_mappings[%d].host_ip %q is no IP address", i, ip)
			}
		}
		ports = append(ports, mapping)
	}
	return ports, nil
}

// cniNetNS is the network namespace as plugins are told, who may pass it on to agents in
// containers: the published pin, or for a pod that has none the one in the pod's directory.
func (m *Manager) cniNetNS(id string) string {
	if at := m.paths.PublishedNetNS(id); netns.IsNamespace(at) {
		return at
	}
	return m.paths.PodNetNS(id)
}

func (m *Manager) attachNetwork(ctx context.Context, s *Sandbox) error {
	if s.HostNetwork() {
		return nil
	}
	att, err := m.attachment(s)
	if err != nil {
		return err
	}
	result, err := m.Network.Attach(ctx, att)
	if err != nil {
		return fmt.Errorf("attach to the network: %w", err)
	}
	ips := make([]string, 0, len(result.IPs))
	for _, ip := range result.IPs {
		ips = append(ips, ip.String())
	}
	s.set(func() { s.record.IPs, s.record.Interface = ips, result.Interface })
	// Sysctls of interfaces can only be set once these exist.
	if _, late := netns.SplitSysctls(s.Config.GetLinux().GetSysctls()); len(late) > 0 {
		return netns.ApplySysctls(m.paths.PodNamespaces(s.ID), late)
	}
	return nil
}

// detachNetwork runs CNI DEL once. A failure does not hold up the pod: the DEL
// is owed from then on, which deleteRecord sees to.
func (m *Manager) detachNetwork(ctx context.Context, s *Sandbox) error {
	if m.detached(s) {
		return nil
	}
	att, err := m.attachment(s)
	if err != nil {
		return err
	}
	if err := m.Network.Detach(ctx, att); err != nil {
		klog.FromContext(ctx).Error(err, "CNI DEL failed; it is retried in the background", "pod", klog.KRef(att.Namespace, att.Name), "id", s.ID)
		m.retryDetach(s)
		return nil
	}
	s.set(func() { s.record.Detached = true })
	return nil
}

// detached says that no CNI DEL is owed.
func (m *Manager) detached(s *Sandbox) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.HostNetwork() || s.record.Detached
}

// keepsNetwork says that the network namespace has to stay for a CNI DEL that is owed:
// some plugins find in it what they have to take back, the bridge plugin the addresses
// of its masquerading rules.
func (m *Manager) keepsNetwork(s *Sandbox) bool {
	return s.Config != nil && !m.detached(s)
}

// retryDetach puts the DEL into the background queue. When it succeeds for a pod
// that is otherwise gone, the record goes too.
func (m *Manager) retryDetach(s *Sandbox) {
	att, err := m.attachment(s)
	if err != nil {
		return
	}
	m.queue.Add(att, func() {
		ctx, cancel := m.bounded(m.ctx)
		defer cancel()
		s.set(func() { s.record.Detached = true })
		var err error
		if s.Phase() == Removed {
			err = m.deleteDetached(ctx, s)
		} else {
			err = errors.Join(m.removeNamespaces(ctx, s), m.save(ctx, s, func(r *Record) { r.Detached = true }))
		}
		if err != nil {
			klog.FromContext(ctx).Error(err, "Cannot note that a CNI DEL has succeeded; it is repeated at the next start", "id", s.ID)
		}
	})
}
