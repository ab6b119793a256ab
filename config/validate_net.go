package config

import (
	"net/netip"
	"regexp"
)

func (v *validator) cni() {
	c := v.config.CNI
	v.absolute("cni.conf_dir", c.ConfDir)
	if len(c.BinDirs) == 0 {
		v.complain("cni.bin_dirs", "must name a directory: no pod could get a network")
	}
	for _, dir := range c.BinDirs {
		v.absolute("cni.bin_dirs", dir)
	}
	v.notNegative("cni.max_confs", int64(c.MaxConfs))
	for _, d := range []struct {
		key   string
		value Duration
	}{
		{"cni.add_timeout", c.AddTimeout}, {"cni.del_timeout", c.DelTimeout},
		{"cni.gc_timeout", c.GCTimeout}, {"cni.status_timeout", c.StatusTimeout},
		{"cni.status_interval", c.StatusInterval}, {"cni.del_retry_max", c.DelRetryMax},
	} {
		v.positive(d.key, d.value)
	}
	v.durationNotNegative("cni.gc_interval", c.GCInterval)
	v.durationNotNegative("cni.del_give_up", c.DelGiveUp)
	v.oneOf("cni.ip_preference", c.IPPreference, "cni", "ipv4", "ipv6")
	v.defaultNetwork("cni.default_network", c.DefaultNetwork)
}

// bridgePattern bounds the bridge's name to what every tool accepts. Of the
// kernel's 15 bytes five are kept for the bridges of pod CIDRs, see package cni.
var bridgePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,9}$`)

func (v *validator) defaultNetwork(key string, n DefaultNetwork) {
	if !bridgePattern.MatchString(n.Bridge) {
		v.complain(key+".bridge", "must be an interface name of at most 10 letters and digits, is %q", n.Bridge)
	}
	v.oneOf(key+".backend", n.Backend, "auto", "nftables", "iptables")
	v4, v6 := v.subnets(key+".subnets", n.Subnets)
	if n.Enabled && v4+v6 == 0 {
		v.complain(key+".subnets", "must name a range, or set %s.enabled = false", key)
	}
	least := 68
	if v6 > 0 {
		least = 1280 // RFC 8200, section 5
	}
	if n.MTU != 0 && (n.MTU < least || n.MTU > 65535) {
		v.complain(key+".mtu", "must be 0 or between %d and 65535, is %d", least, n.MTU)
	}
}

// subnets checks the ranges and counts them by family.
func (v *validator) subnets(key string, subnets []string) (v4, v6 int) {
	for _, s := range subnets {
		p, err := netip.ParsePrefix(s)
		switch {
		case err != nil:
			v.complain(key, `%q is not a range such as "10.98.0.0/16"`, s)
			continue
		case p != p.Masked():
			v.complain(key, "%s has bits set beyond its prefix; %s is meant?", s, p.Masked())
		case p.Addr().BitLen()-p.Bits() < 2:
			v.complain(key, "%s leaves no address for a pod", s)
		}
		if p.Addr().Is4() {
			v4++
		} else {
			v6++
		}
	}
	if v4 > 1 || v6 > 1 {
		v.complain(key, "must hold at most one IPv4 and one IPv6 range")
	}
	return v4, v6
}
