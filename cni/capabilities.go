package cni

import (
	"fmt"
	"math"
	"net/netip"

	"github.com/containerd/errdefs"
	"k8s.io/apimachinery/pkg/api/resource"
)

// The runtimeConfig entries of CNI's conventions. libcni passes each to the plugins that declare
// the capability.
type (
	portMapping struct {
		HostPort      int32  `json:"hostPort"`
		ContainerPort int32  `json:"containerPort"`
		Protocol      string `json:"protocol"`
		HostIP        string `json:"hostIP,omitempty"`
	}
	bandwidth struct {
		IngressRate  uint64 `json:"ingressRate,omitempty"`
		IngressBurst uint64 `json:"ingressBurst,omitempty"`
		EgressRate   uint64 `json:"egressRate,omitempty"`
		EgressBurst  uint64 `json:"egressBurst,omitempty"`
	}
	dnsConfig struct {
		Servers  []string `json:"servers,omitempty"`
		Searches []string `json:"searches,omitempty"`
		Options  []string `json:"options,omitempty"`
	}
	ipRange struct {
		Subnet string `json:"subnet"`
	}
)

// Limits that Kubernetes sets for the bandwidth annotations, in bits per second.
const (
	minBandwidth = 1_000
	maxBandwidth = 1_000_000_000_000_000
)

// arguments are CNI_ARGS.
func (a Attachment) arguments() [][2]string {
	return [][2]string{
		{"IgnoreUnknown", "1"},
		{"K8S_POD_NAMESPACE", a.Namespace},
		{"K8S_POD_NAME", a.Name},
		{"K8S_POD_INFRA_CONTAINER_ID", a.PodID},
		{"K8S_POD_UID", a.UID},
	}
}

// capabilities are the capability arguments of a valid attachment.
func (a Attachment) capabilities(podCIDR []netip.Prefix) map[string]any {
	caps := map[string]any{}
	var ports []portMapping
	for _, p := range a.Ports {
		if p.HostPort == 0 {
			continue
		}
		m := portMapping{HostPort: p.HostPort, ContainerPort: p.ContainerPort, Protocol: p.Protocol}
		if p.HostIP.IsValid() {
			m.HostIP = p.HostIP.String()
		}
		ports = append(ports, m)
	}
	if len(ports) > 0 {
		caps["portMappings"] = ports
	}
	if limits, err := a.bandwidth(); err == nil && limits != (bandwidth{}) {
		caps["bandwidth"] = limits
	}
	if d := a.DNS; len(d.Servers)+len(d.Searches)+len(d.Options) > 0 {
		caps["dns"] = dnsConfig(d)
	}
	if a.CgroupParent != "" {
		caps["cgroupPath"] = a.CgroupParent
	}
	if len(a.Aliases) > 0 {
		caps["aliases"] = a.Aliases
	}
	if len(a.Annotations) > 0 {
		caps["io.kubernetes.cri.pod-annotations"] = a.Annotations
	}
	if len(podCIDR) > 0 {
		ranges := make([][]ipRange, 0, len(podCIDR))
		for _, p := range podCIDR {
			ranges = append(ranges, []ipRange{{Subnet: p.String()}})
		}
		caps["ipRanges"] = ranges
	}
	return caps
}

// bandwidth reads the limits from the pod's annotations. The burst is as large as the plugin
// takes, because the annotations have none.
func (a Attachment) bandwidth() (bandwidth, error) {
	var b bandwidth
	for _, dir := range []struct {
		annotation  string
		rate, burst *uint64
	}{{IngressBandwidthAnnotation, &b.IngressRate, &b.IngressBurst}, {EgressBandwidthAnnotation, &b.EgressRate, &b.EgressBurst}} {
		text, ok := a.Annotations[dir.annotation]
		if !ok {
			continue
		}
		q, err := resource.ParseQuantity(text)
		if err != nil {
			return b, fmt.Errorf("annotation %s=%q is no quantity: %w", dir.annotation, text, errdefs.ErrInvalidArgument)
		}
		if v := q.Value(); v < minBandwidth || v > maxBandwidth {
			return b, fmt.Errorf("annotation %s=%q is outside 1k to 1P bits per second: %w", dir.annotation, text, errdefs.ErrInvalidArgument)
		}
		*dir.rate, *dir.burst = uint64(q.Value()), math.MaxInt32
	}
	return b, nil
}
