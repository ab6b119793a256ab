package cni

import (
	"net/netip"
)

// Annotations that limit a pod's bandwidth, in bits per second as Kubernetes quantities.
const (
	IngressBandwidthAnnotation = "kubernetes.io/ingress-bandwidth"
	EgressBandwidthAnnotation  = "kubernetes.io/egress-bandwidth"
)

// Attachment is a pod as the CNI plugins see it. All of it follows from the pod's record,
// so that the same value can be built again after a restart.
type Attachment struct {
	// PodID is the sandbox ID, CNI_CONTAINERID.
	PodID string
	// Namespace, Name and UID are the pod's Kubernetes identity (CRI PodSandboxMetadata).
	Namespace, Name, UID string
	// NetNS is the path of the pinned network namespace. Detach also works when it is
	// empty, missing, or no longer a namespace.
	NetNS string
	// Ports are the published ports (capability portMappings). Entries with HostPort 0 are
	// not published and skipped.
	Ports []PortMapping
	// Annotations of the pod: the bandwidth limits are read from them, and plugins with the
	// capability io.kubernetes.cri.pod-annotations get all of them.
	Annotations map[string]string
	// DNS is the pod's resolver configuration (capability dns).
	DNS DNS
	// CgroupParent is the pod's cgroup (capability cgroupPath).
	CgroupParent string
	// Aliases are names for plugins that run a DNS server (capability aliases).
	Aliases []string
}

// PortMapping is a published port, CRI PortMapping.
type PortMapping struct {
	// Protocol is "tcp", "udp" or "sctp".
	Protocol string
	// ContainerPort and HostPort are 1 to 65535; HostPort 0 means not published.
	ContainerPort, HostPort int32
	// HostIP restricts the mapping to one address of the host. Invalid (zero) means all
	// addresses of both families; 0.0.0.0 and :: mean all of that family.
	HostIP netip.Addr
}

// DNS is a resolver configuration, CRI DNSConfig.
type DNS struct {
	Servers, Searches, Options []string
}
