package cni

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/containerd/errdefs"
)

// loopbackTimeout bounds one run of nft or iptables.
const loopbackTimeout = 10 * time.Second

// guardLoopback keeps the pods of a bridge away from the host's 127.0.0.0/8. The portmap plugin sets
// route_localnet on the bridge of a pod that publishes a port, so that the host reaches the port by 127.0.0.1;
// from then on the kernel would also take what a pod sends to 127.0.0.0/8, or sends in its name, to the
// services that listen there (CVE-2020-8558). Packets from the bridge with such an address are dropped
// before the kernel looks for a route. It may be repeated, and is undone by unguardLoopback.
func (m *Manager) guardLoopback(ctx context.Context, bridge string) error {
	if m.opts.Default.backend() == "nftables" {
		table := loopbackTable(bridge)
		return runTool(ctx, fmt.Sprintf(`add table ip %[1]s
add chain ip %[1]s prerouting { type filter hook prerouting priority raw; policy accept; }
flush chain ip %[1]s prerouting
add rule ip %[1]s prerouting iifname "%[2]s" ip daddr 127.0.0.0/8 drop
add rule ip %[1]s prerouting iifname "%[2]s" ip saddr 127.0.0.0/8 drop
`, table, bridge), "nft", "-f", "-")
	}
	for _, side := range []string{"-d", "-s"} {
		rule := loopbackRule(bridge, side)
		if runTool(ctx, "", "iptables", append([]string{"-w", "-t", "raw", "-C"}, rule...)...) == nil {
			continue
		}
		if err := runTool(ctx, "", "iptables", append([]string{"-w", "-t", "raw", "-A"}, rule...)...); err != nil {
			return err
		}
	}
	return nil
}

// unguardLoopback removes what guardLoopback made for a bridge that is gone. It may be repeated.
func (m *Manager) unguardLoopback(ctx context.Context, bridge string) error {
	if m.opts.Default.backend() == "nftables" {
		table := loopbackTable(bridge)
		return runTool(ctx, fmt.Sprintf("add table ip %[1]s\ndelete table ip %[1]s\n", table), "nft", "-f", "-")
	}
	for _, side := range []string{"-d", "-s"} {
		// An error is a rule that is not there.
		_ = runTool(ctx, "", "iptables", append([]string{"-w", "-t", "raw", "-D"}, loopbackRule(bridge, side)...)...)
	}
	return nil
}

// guardBridges guards each bridge on which a port was published, by a Berth that did not do it for instance, or
// whose rules were flushed.
func (m *Manager) guardBridges(ctx context.Context, bridges []string) error {
	for _, bridge := range bridges {
		routed, err := os.ReadFile("/proc/sys/net/ipv4/conf/" + bridge + "/route_localnet")
		if err != nil || strings.TrimSpace(string(routed)) != "1" {
			continue
		}
		if err := m.guardLoopback(ctx, bridge); err != nil {
			return fmt.Errorf("keep the pods of bridge %s from the host's 127.0.0.0/8: %w", bridge, err)
		}
	}
	return nil
}

// publishesIPv4 reports whether the host routes an IPv4 port to the pod.
func publishesIPv4(ports []PortMapping) bool {
	for _, p := range ports {
		if p.HostPort > 0 && (p.HostIP == netip.Addr{} || p.HostIP.Unmap().Is4()) {
			return true
		}
	}
	return false
}

// loopbackTable is the nftables table of a bridge. Its name has letters, digits, _ and . only.
func loopbackTable(bridge string) string {
	return "berth_loopback_" + strings.ReplaceAll(bridge, "-", "_")
}

func loopbackRule(bridge, side string) []string {
	return []string{"PREROUTING", "-i", bridge, side, "127.0.0.0/8", "-j", "DROP"}
}

// runTool runs a program with an input, and has its output in the error.
func runTool(ctx context.Context, input, name string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loopbackTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(input)
	cmd.WaitDelay = outputGrace
	out, err := cmd.CombinedOutput()
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s gave no answer within %v and was killed: %w", name, loopbackTimeout, context.DeadlineExceeded)
	case err != nil:
		return fmt.Errorf("%s: %w: %q: %w", name, err, strings.TrimSpace(string(out)), errdefs.ErrInternal)
	}
	return nil
}
