package cni

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"

	"github.com/containerd/errdefs"
)

// SetPodCIDR sets the ranges of the built-in network for new pods: one CIDR or two of
// different families, comma separated, as the kubelet sends it (UpdateRuntimeConfig). ""
// goes back to the configured ones. Networks with the capability ipRanges get it, too.
// InvalidArgument for anything else. The caller keeps it across restarts.
func (m *Manager) SetPodCIDR(cidrs string) error {
	prefixes, err := parseCIDRs(cidrs)
	if err != nil {
		return fmt.Errorf("pod CIDR %q: %w: %w", cidrs, err, errdefs.ErrInvalidArgument)
	}
	m.load.Lock()
	m.load.podCIDR = prefixes
	m.load.Unlock()
	m.reload()
	select {
	case m.changed <- struct{}{}:
	default:
	}
	return nil
}

// PodCIDR is what SetPodCIDR set, normalised; "" when nothing was.
func (m *Manager) PodCIDR() string {
	var parts []string
	for _, p := range m.current.Load().podCIDR {
		parts = append(parts, p.String())
	}
	return strings.Join(parts, ",")
}

func parseCIDRs(cidrs string) ([]netip.Prefix, error) {
	if strings.TrimSpace(cidrs) == "" {
		return nil, nil
	}
	var prefixes []netip.Prefix
	for _, part := range strings.Split(cidrs, ",") {
		p, err := netip.ParsePrefix(strings.TrimSpace(part))
		if err != nil {
			return nil, err
		}
		prefixes = append(prefixes, p.Masked())
	}
	return prefixes, checkSubnets(prefixes)
}

// bridgeOf is the bridge that a built-in network uses, "" for any other.
func bridgeOf(n *network) string {
	if !n.builtin {
		return ""
	}
	var conf struct {
		Bridge string `json:"bridge"`
	}
	if err := json.Unmarshal(n.list.Plugins[0].Bytes, &conf); err != nil {
		return ""
	}
	return conf.Bridge
}
