package cni

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/containerd/errdefs"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
)

// Result is what the plugins gave a pod.
type Result struct {
	// IPs are the addresses of Interface, the primary one first. Never empty.
	IPs []netip.Addr
	// Interface is the pod's main interface, eth0.
	Interface string
	// MAC is the hardware address of Interface, as the plugin reported it.
	MAC string
	// Routes of Interface.
	Routes []Route
	// DNS is what the plugins suggest; the kubelet's own DNS configuration wins.
	DNS DNS
	// Networks lists every attached network in order; the first one is the main one.
	Networks []NetworkResult
}

// Route is one route in the pod.
type Route struct {
	Dst netip.Prefix
	GW  netip.Addr // invalid when there is none
}

// NetworkResult is the result of one network.
type NetworkResult struct {
	// Name of the CNI network, and the interface it made.
	Name, Interface string
	// Raw is the CNI result as JSON, in version 1.1.0 of the specification.
	Raw json.RawMessage
}

// add puts one network's result into r; the first one makes the pod's addresses.
func (r *Result) add(name, ifName string, res types.Result, preference string) error {
	cur, err := current.NewResultFromResult(res)
	if err != nil {
		return fmt.Errorf("result of network %q: %w: %w", name, err, errdefs.ErrInternal)
	}
	raw, err := json.Marshal(cur)
	if err != nil {
		return fmt.Errorf("result of network %q: %w: %w", name, err, errdefs.ErrInternal)
	}
	first := len(r.Networks) == 0
	r.Networks = append(r.Networks, NetworkResult{Name: name, Interface: ifName, Raw: raw})
	if !first {
		return nil
	}
	r.Interface = ifName
	r.MAC, r.IPs = interfaceOf(cur, ifName)
	if len(r.IPs) == 0 {
		return fmt.Errorf("network %q gave interface %s no IP address, and the kubelet needs one: %w", name, ifName, errdefs.ErrFailedPrecondition)
	}
	sortAddresses(r.IPs, preference)
	for _, route := range cur.Routes {
		if route == nil {
			continue
		}
		if dst, ok := prefixOf(route.Dst); ok {
			gw, _ := netip.AddrFromSlice(route.GW)
			r.Routes = append(r.Routes, Route{Dst: dst, GW: gw.Unmap()})
		}
	}
	r.DNS = DNS{Servers: cur.DNS.Nameservers, Searches: cur.DNS.Search, Options: cur.DNS.Options}
	return nil
}

// interfaceOf finds the pod's side of a result: the MAC and the addresses of ifName. An address
// that names no interface is the pod's.
func interfaceOf(res *current.Result, ifName string) (mac string, ips []netip.Addr) {
	index := -1
	for i, ifc := range res.Interfaces {
		// The host may have an eth0 as well; the pod's has a sandbox, where the plugin says so.
		if ifc != nil && ifc.Name == ifName && (ifc.Sandbox != "" || index < 0) {
			index, mac = i, ifc.Mac
		}
	}
	for _, ip := range res.IPs {
		if ip == nil || ip.Interface != nil && *ip.Interface != index {
			continue
		}
		if addr, ok := netip.AddrFromSlice(ip.Address.IP); ok && !slices.Contains(ips, addr.Unmap()) {
			ips = append(ips, addr.Unmap())
		}
	}
	return mac, ips
}

func prefixOf(n net.IPNet) (netip.Prefix, bool) {
	addr, ok := netip.AddrFromSlice(n.IP)
	ones, bits := n.Mask.Size()
	if !ok || bits == 0 {
		return netip.Prefix{}, false
	}
	addr = addr.Unmap()
	if addr.BitLen() != bits {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(addr, ones), true
}

// sortAddresses moves the preferred family to the front, otherwise keeping the plugin's order.
func sortAddresses(ips []netip.Addr, preference string) {
	if preference == "cni" {
		return
	}
	rank := func(a netip.Addr) int {
		if a.Is4() == (preference == "ipv4") {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(ips, func(a, b netip.Addr) int { return rank(a) - rank(b) })
}
