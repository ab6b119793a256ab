package cni

import (
	"encoding/json"
	"net/netip"
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
