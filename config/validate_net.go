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
	v.positive("cni.add_timeout", c.AddTimeout)
	v.positive("cni.del_timeout", c.DelTimeout)
	v.positive("cni.del_retry_max", c.DelRetryMax)
	v.durationNotNegative("cni.gc_interval", c.GCInterval)
	v.defaultNetwork("cni.default_network", c.DefaultNetwork)
}

// interfacePattern bounds interface names to what every tool accepts; the
// kernel's own bound is 15 bytes.
var interfacePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$`)

func (v *validator) defaultNetwork(key string, n DefaultNetwork) {
	if !interfacePattern.MatchString(n.Bridge) {
		v.complain(key+".bridge", "must be an interface name of at most 15 letters and digits, is %q", n.Bridge)
	}
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
