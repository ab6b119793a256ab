package sandbox

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/moby/sys/mountinfo"

	"github.com/berth-run/berth/internal/budget"
)

// writeFiles makes the pod's hostname, hosts and resolv.conf. The kubelet brings
// its own hosts file for most pods; this one is for the others. Containers may write
// the files, so that they are on a small file system of the pod's own: on the state
// directory's one container could fill it for all pods.
func (m *Manager) writeFiles(_ context.Context, s *Sandbox) error {
	hosts, err := m.hosts(s)
	if err != nil {
		return err
	}
	resolv, err := resolvConf(s)
	if err != nil {
		return err
	}
	files := []struct {
		path    string
		content string
	}{
		{m.paths.PodHostname(s.ID), hostname(s) + "\n"},
		{m.paths.PodHosts(s.ID), hosts},
		{m.paths.PodResolvConf(s.ID), resolv},
	}
	size := budget.PodFiles
	for _, f := range files {
		size += len(f.content)
	}
	// A tmpfs counts in pages, and the size is rounded up.
	options := fmt.Sprintf("mode=0755,size=%d,nr_inodes=%d", size, budget.PodFileCount)
	if err := mountTmpfs("berth-files", m.paths.PodFiles(s.ID), options); err != nil {
		return fmt.Errorf("mount the file system of the pod's files: %w", err)
	}
	for _, f := range files {
		if err := os.WriteFile(f.path, []byte(f.content), 0o644); err != nil {
			return fmt.Errorf("write the pod's file: %w", err)
		}
	}
	return nil
}

func (m *Manager) unmountFiles(_ context.Context, s *Sandbox) error {
	return unmountTmpfs(m.paths.PodFiles(s.ID))
}

// repairFiles makes the files of a pod that has none: one that an older version made, which
// had them elsewhere.
func (m *Manager) repairFiles(ctx context.Context, s *Sandbox) error {
	if mounted, err := mountinfo.Mounted(m.paths.PodFiles(s.ID)); mounted || err != nil && !os.IsNotExist(err) {
		return err
	}
	return m.writeFiles(ctx, s)
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
