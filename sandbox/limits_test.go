package sandbox

import (
	"fmt"
	"testing"

	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/internal/budget"
)

// TestListsAreBounded: as many entries as a bound says are taken, one more is refused.
func TestListsAreBounded(t *testing.T) {
	for name, l := range map[string]struct {
		most int
		fill func(c *runtimeapi.PodSandboxConfig, n int)
	}{
		"sysctls": {budget.Sysctls, func(c *runtimeapi.PodSandboxConfig, n int) {
			c.Linux = &runtimeapi.LinuxPodSandboxConfig{Sysctls: map[string]string{}}
			for i := range n {
				c.Linux.Sysctls[fmt.Sprint("net.", i)] = ""
			}
		}},
		"ports": {budget.PortMappings, func(c *runtimeapi.PodSandboxConfig, n int) {
			c.PortMappings = make([]*runtimeapi.PortMapping, n)
		}},
	} {
		for n, refused := range map[int]bool{l.most: false, l.most + 1: true} {
			c := &runtimeapi.PodSandboxConfig{}
			l.fill(c, n)
			if err := validateCounts(c); errdefs.IsInvalidArgument(err) != refused {
				t.Errorf("%d %s: %v", n, name, err)
			}
		}
	}
}
