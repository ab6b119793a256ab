package sandbox

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/containerd/containerd/v2/core/mount"
)

// writeFiles makes the pod's hostname, hosts and resolv.conf. The kubelet brings
// its own hosts file for most pods; this one is for the others.
func (m *Manager) writeFiles(_ context.Context, s *Sandbox) error {
	hosts, err := m.hosts(s)
	if err != nil {
		return err
	}
	resolv, err := resolvConf(s)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		path    string
		content string
	}{
		{m.paths.PodHostname(s.ID), hostname(s) + "\n"},
		{m.paths.PodHosts(s.ID), hosts},
		{m.paths.PodResolvConf(s.ID), resolv},
	} {
		if err := os.WriteFile(f.path, []byte(f.content), 0o644); err != nil {
			return fmt.Errorf("write the pod's file: %w", err)
		}
	}
	return nil
}

// hosts is the host's file for pods on its network, else a small one with the
// pod's own addresses.
func (m *Manager) hosts(s *Sandbox) (string, error) {
	if s.HostNetwork() {
		return hostFile("/etc/hosts")
	}
	var b strings.Builder
	b.WriteString("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")
	for _, ip := range s.IPs() {
		fmt.Fprintf(&b, "%s\t%s\n", ip, hostname(s))
	}
	return b.String(), nil
}

// resolvConf renders the DNS configuration, in the order of resolv.conf(5); a
// request without one gets the host's.
func resolvConf(s *Sandbox) (string, error) {
	dns := s.Config.GetDnsConfig()
	if dns == nil {
		return hostFile("/etc/resolv.conf")
	}
	var b strings.Builder
	if len(dns.GetSearches()) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(dns.GetSearches(), " "))
	}
	for _, server := range dns.GetServers() {
		fmt.Fprintf(&b, "nameserver %s\n", server)
	}
	if len(dns.GetOptions()) > 0 {
		fmt.Fprintf(&b, "options %s\n", strings.Join(dns.GetOptions(), " "))
	}
	return b.String(), nil
}

// hostFile reads a file of the host that may be missing.
func hostFile(path string) (string, error) {
	b, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the host's file: %w", err)
	}
	return string(b), nil
}

// ShmPath is the pod's /dev/shm, empty where it shares the host's.
func (m *Manager) ShmPath(s *Sandbox) string {
	if s.HostIPC() {
		return ""
	}
	return m.paths.PodShm(s.ID)
}

func (m *Manager) mountShm(_ context.Context, s *Sandbox) error {
	dir := m.ShmPath(s)
	if dir == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("create the pod's /dev/shm: %w", err)
	}
	options := fmt.Sprintf("mode=1777,size=%d", m.Config.Pod.ShmSize)
	if u := s.UserNamespace(); u != nil {
		options += fmt.Sprintf(",uid=%d,gid=%d", u.GetUids()[0].GetHostId(), u.GetGids()[0].GetHostId())
	}
	if err := unix.Mount("shm", dir, "tmpfs", unix.MS_NOEXEC|unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		return fmt.Errorf("mount the pod's /dev/shm: %w", err)
	}
	return nil
}

func (m *Manager) unmountShm(_ context.Context, s *Sandbox) error {
	dir := m.paths.PodShm(s.ID)
	if mounted, err := mountinfo.Mounted(dir); err != nil || !mounted {
		return nil // the directory is not there, or nothing is on it
	}
	if err := mount.UnmountAll(dir, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount the pod's /dev/shm: %w", err)
	}
	return nil
}
