package ocispec

import (
	"fmt"

	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/internal/budget"
)

// count is the length of a list that building a spec goes through, and its bound.
type count struct {
	field      string
	have, most int
}

func within(counts ...count) error {
	for _, c := range counts {
		if c.have > c.most {
			return fmt.Errorf("%s has %d entries, at most %d are taken: %w", c.field, c.have, c.most, errdefs.ErrInvalidArgument)
		}
	}
	return nil
}

// validateCounts bounds the lists of a request.
func validateCounts(c *runtimeapi.ContainerConfig, pod *runtimeapi.PodSandboxConfig) error {
	sc := c.GetLinux().GetSecurityContext()
	caps := sc.GetCapabilities()
	return within(
		count{"config.envs", len(c.GetEnvs()), budget.Env},
		count{"config.command", len(c.GetCommand()), budget.Arguments},
		count{"config.args", len(c.GetArgs()), budget.Arguments},
		count{"config.mounts", len(c.GetMounts()), budget.Mounts},
		count{"config.devices", len(c.GetDevices()), budget.Devices},
		count{"config.CDI_devices", len(c.GetCDIDevices()), budget.Devices},
		count{"config.annotations", len(c.GetAnnotations()), budget.Annotations},
		count{"sandbox_config.annotations", len(pod.GetAnnotations()), budget.Annotations},
		count{"security_context.capabilities.add_capabilities", len(caps.GetAddCapabilities()), budget.Capabilities},
		count{"security_context.capabilities.drop_capabilities", len(caps.GetDropCapabilities()), budget.Capabilities},
		count{"security_context.capabilities.add_ambient_capabilities", len(caps.GetAddAmbientCapabilities()), budget.Capabilities},
		count{"security_context.masked_paths", len(sc.GetMaskedPaths()), budget.HiddenPaths},
		count{"security_context.readonly_paths", len(sc.GetReadonlyPaths()), budget.HiddenPaths},
		count{"security_context.supplemental_groups", len(sc.GetSupplementalGroups()), budget.Groups},
		count{"sandbox_config supplemental_groups", len(pod.GetLinux().GetSecurityContext().GetSupplementalGroups()), budget.Groups},
	)
}

// imageCounts bounds the lists of the image's configuration, which its author wrote.
func (b *builder) imageCounts() error {
	image := b.in.Image.Config
	if err := within(
		count{"Env", len(image.Env), budget.Env},
		count{"Entrypoint", len(image.Entrypoint), budget.Arguments},
		count{"Cmd", len(image.Cmd), budget.Arguments},
		count{"Volumes", len(image.Volumes), budget.Mounts},
	); err != nil {
		return fmt.Errorf("image %q: %w", b.in.Image.Name, err)
	}
	return nil
}
