package cni

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/utils"
)

// defaultVersion of the built-in network. Its plugins implement nothing of 1.1 (GC, STATUS).
const defaultVersion = "1.0.0"

// maxBridgeName leaves room for "-" and four digits in the kernel's 15 characters.
const maxBridgeName = 10

func (d DefaultNetwork) withDefaults() (DefaultNetwork, error) {
	setDefault(&d.Name, "berth")
	setDefault(&d.Bridge, "berth0")
	if len(d.Subnets) == 0 {
		d.Subnets = []netip.Prefix{netip.MustParsePrefix("10.88.0.0/16"), netip.MustParsePrefix("fd00:10:88::/64")}
	}
	if !d.Enabled {
		return d, nil
	}
	if err := utils.ValidateNetworkName(d.Name); err != nil {
		return d, err
	}
	if err := utils.ValidateInterfaceName(d.Bridge); err != nil {
		return d, err
	}
	if len(d.Bridge) > maxBridgeName {
		return d, fmt.Errorf("bridge name %q is longer than %d characters", d.Bridge, maxBridgeName)
	}
	if !filepath.IsAbs(d.DataDir) {
		return d, fmt.Errorf("data directory %q is not an absolute path", d.DataDir)
	}
	if b := d.Backend; b != "" && b != "nftables" && b != "iptables" {
		return d, fmt.Errorf("backend %q is neither nftables nor iptables", b)
	}
	if d.MTU < 0 || d.MTU > 65535 {
		return d, fmt.Errorf("MTU %d", d.MTU)
	}
	return d, checkSubnets(d.Subnets)
}

// checkSubnets wants at most one range per family with room for pods.
func checkSubnets(subnets []netip.Prefix) error {
	seen := map[bool]bool{}
	for _, p := range subnets {
		if !p.IsValid() || p.Addr().Is4In6() {
			return fmt.Errorf("%v is no address range", p)
		}
		if p.Addr().BitLen()-p.Bits() < 2 {
			return fmt.Errorf("range %v has no room for pods", p)
		}
		if seen[p.Addr().Is4()] {
			return errors.New("more than one range of a family")
		}
		seen[p.Addr().Is4()] = true
	}
	return nil
}

// defaultNetwork builds the built-in network for the ranges in force.
func (m *Manager) defaultNetwork(podCIDR []netip.Prefix) (*network, error) {
	d := m.opts.Default
	subnets := d.Subnets
	if len(podCIDR) > 0 {
		subnets = podCIDR
	}
	ranges, routes := ipam(subnets, m.hostHasIPv6())
	if len(ranges) == 0 {
		return nil, fmt.Errorf("the built-in network has only IPv6 ranges (%v), but IPv6 is off on this host", subnets)
	}
	backend := d.backend()
	bridge := map[string]any{
		"type": "bridge", "bridge": m.bridgeName(subnets), "isGateway": true, "forceAddress": true, "ipMasq": true,
		"hairpinMode": !d.NoHairpin && !d.Promiscuous, "promiscMode": d.Promiscuous,
		"ipam": map[string]any{"type": "host-local", "dataDir": d.DataDir, "ranges": ranges, "routes": routes},
	}
	portmap := map[string]any{"type": "portmap", "capabilities": map[string]bool{"portMappings": true}}
	if d.MTU > 0 {
		bridge["mtu"] = d.MTU
	}
	bridge["ipMasqBackend"], portmap["backend"] = backend, backend
	plugins := []any{bridge, portmap}
	if _, err := invoke.FindInPath("bandwidth", m.opts.BinDirs); err == nil {
		plugins = append(plugins, map[string]any{"type": "bandwidth", "capabilities": map[string]bool{"bandwidth": true}})
	}
	config, err := json.Marshal(map[string]any{
		"cniVersion": defaultVersion, "name": d.Name, "loadOnlyInlinedPlugins": true, "plugins": plugins,
	})
	if err != nil {
		return nil, err
	}
	list, err := libcni.NetworkConfFromBytes(config)
	if err != nil {
		return nil, fmt.Errorf("built-in network: %w", err)
	}
	return &network{list: list, builtin: true, needsTool: tool(backend)}, nil
}

// ipam gives host-local a range and a default route per family that the host has.
func ipam(subnets []netip.Prefix, ipv6 bool) (ranges [][]map[string]string, routes []map[string]string) {
	for _, p := range subnets {
		dst := "0.0.0.0/0"
		if p.Addr().Is6() {
			if !ipv6 {
				continue
			}
			dst = "::/0"
		}
		ranges = append(ranges, []map[string]string{{"subnet": p.Masked().String()}})
		routes = append(routes, map[string]string{"dst": dst})
	}
	return ranges, routes
}

// backend resolves "" to what the host has.
func (d DefaultNetwork) backend() string {
	if d.Backend != "" {
		return d.Backend
	}
	if _, err := exec.LookPath("nft"); err != nil {
		if _, err := exec.LookPath("iptables"); err == nil {
			return "iptables"
		}
	}
	return "nftables"
}

// tool is the program that a backend runs.
func tool(backend string) string {
	if backend == "iptables" {
		return "iptables"
	}
	return "nft"
}

// bridgeName is the configured bridge for the configured ranges, and one of its own for any
// other: an IPv4 bridge has one address, and pods that run keep their gateway.
func (m *Manager) bridgeName(subnets []netip.Prefix) string {
	d := m.opts.Default
	if fmt.Sprint(subnets) == fmt.Sprint(d.Subnets) {
		return d.Bridge
	}
	h := fnv.New32a()
	fmt.Fprint(h, subnets)
	return fmt.Sprintf("%s-%04x", d.Bridge, h.Sum32()&0xffff)
}

// isOurBridge recognises the names that bridgeName gives.
func (m *Manager) isOurBridge(name string) bool {
	rest, ok := strings.CutPrefix(name, m.opts.Default.Bridge)
	if !ok || rest == "" {
		return ok
	}
	return len(rest) == 5 && rest[0] == '-' && strings.Trim(rest[1:], "0123456789abcdef") == ""
}

// hostHasIPv6 is false where the kernel has no IPv6, or has it turned off.
func (m *Manager) hostHasIPv6() bool {
	off, err := os.ReadFile("/proc/sys/net/ipv6/conf/all/disable_ipv6")
	return err == nil && strings.TrimSpace(string(off)) == "0"
}

// prepareToolDir makes a directory with nothing but nft. The built-in network's plugins get it as
// their PATH: they would otherwise look for iptables rules on every DEL, some ten runs of
// iptables for rules that were never made.
func prepareToolDir(cacheDir string) (string, error) {
	nft, err := exec.LookPath("nft")
	if err != nil {
		return "", nil
	}
	dir := filepath.Join(cacheDir, "tools")
	link := filepath.Join(dir, "nft")
	if target, err := os.Readlink(link); err == nil && target == nft {
		return dir, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	return dir, os.Symlink(nft, link)
}
