package sandbox

import (
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/internal/budget"
)

// validateCounts bounds the lists of a request that making a pod goes through.
func validateCounts(c *runtimeapi.PodSandboxConfig) error {
	for _, l := range []struct {
		field      string
		have, most int
	}{
		{"config.linux.sysctls", len(c.GetLinux().GetSysctls()), budget.Sysctls},
		{"config.annotations", len(c.GetAnnotations()), budget.Annotations},
		{"config.port_mappings", len(c.GetPortMappings()), budget.PortMappings},
		{"security_context.supplemental_groups", len(c.GetLinux().GetSecurityContext().GetSupplementalGroups()), budget.Groups},
	} {
		if l.have > l.most {
			return invalid("%s has %d entries, at most %d are taken", l.field, l.have, l.most)
		}
	}
	return nil
}
