package cni

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/containernetworking/cni/pkg/utils"
)

// Validate checks an attachment before any side effect: identity, ports, bandwidth.
// Errors are InvalidArgument.
func Validate(att Attachment) error {
	if err := validateID(att.PodID); err != nil {
		return err
	}
	for _, s := range []string{att.Namespace, att.Name, att.UID} {
		if strings.ContainsAny(s, ";=\x00") {
			return fmt.Errorf("pod %s: %q cannot be passed to CNI plugins: %w", att.PodID, s, errdefs.ErrInvalidArgument)
		}
	}
	if err := ValidatePorts(att.Ports); err != nil {
		return fmt.Errorf("pod %s/%s: %w", att.Namespace, att.Name, err)
	}
	if _, err := att.bandwidth(); err != nil {
		return fmt.Errorf("pod %s/%s: %w", att.Namespace, att.Name, err)
	}
	return nil
}

// validateID keeps pod IDs that are no file names out of paths.
func validateID(id string) error {
	if err := utils.ValidateContainerID(id); err != nil {
		return fmt.Errorf("pod ID %q: %w: %w", id, err, errdefs.ErrInvalidArgument)
	}
	return nil
}

// ValidatePorts checks protocol and range of every port. Errors are InvalidArgument.
func ValidatePorts(ports []PortMapping) error {
	for _, p := range ports {
		if p.HostPort == 0 {
			continue // not published
		}
		name := fmt.Sprintf("host port %d/%s", p.HostPort, p.Protocol)
		if p.Protocol != "tcp" && p.Protocol != "udp" && p.Protocol != "sctp" {
			return fmt.Errorf("%s: protocol is none of tcp, udp, sctp: %w", name, errdefs.ErrInvalidArgument)
		}
		if p.HostPort < 0 || p.HostPort > 65535 || p.ContainerPort < 1 || p.ContainerPort > 65535 {
			return fmt.Errorf("%s to container port %d: ports are 1 to 65535: %w", name, p.ContainerPort, errdefs.ErrInvalidArgument)
		}
		if p.HostIP.Zone() != "" {
			return fmt.Errorf("%s: host IP %v has a zone: %w", name, p.HostIP, errdefs.ErrInvalidArgument)
		}
	}
	return nil
}

// Overlaps reports whether two mappings claim the same port of the host.
func (p PortMapping) Overlaps(o PortMapping) bool {
	return o.HostPort == p.HostPort && o.Protocol == p.Protocol && sameAddress(o.HostIP, p.HostIP)
}

// String is the port as a person writes it: address, port and protocol.
func (p PortMapping) String() string {
	if !p.HostIP.IsValid() {
		return fmt.Sprintf("%d/%s", p.HostPort, p.Protocol)
	}
	return fmt.Sprintf("%s/%s", netip.AddrPortFrom(p.HostIP, uint16(p.HostPort)), p.Protocol)
}

// sameAddress is true where two host IPs catch the same packets: equal, or one of them means all
// addresses of the other's family.
func sameAddress(a, b netip.Addr) bool {
	if !a.IsValid() || !b.IsValid() {
		return true
	}
	a, b = a.Unmap(), b.Unmap()
	if a.Is4() != b.Is4() {
		return false
	}
	return a == b || a.IsUnspecified() || b.IsUnspecified()
}
