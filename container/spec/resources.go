package spec

import (
	"fmt"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/container/hostinfo"
)

// ResourceOptions say what a conversion of resources may rely on.
type ResourceOptions struct {
	// Host is what the machine can do; required.
	Host *hostinfo.Info
	// RefuseMissingHugetlb and DisableHugetlb are as in Defaults.
	RefuseMissingHugetlb, DisableHugetlb bool
}

// Resources converts CRI resources to OCI resources. A zero or empty CRI field
// is "not specified" and stays unset. The second answer are warnings, one
// sentence each, about what had to be left out.
func Resources(r *runtimeapi.LinuxContainerResources, o ResourceOptions) (*specs.LinuxResources, []string, error) {
	return nil, nil, fmt.Errorf("converting resources: %w", errdefs.ErrNotImplemented)
}

// Update applies UpdateContainerResources: it answers a copy of s in which the
// fields that r specifies are replaced and all others kept, and the resources
// to hand to the task's Update. s is left alone, so that the caller can drop
// the copy when the runtime refuses.
func Update(s *specs.Spec, r *runtimeapi.LinuxContainerResources, o ResourceOptions) (*specs.Spec, *specs.LinuxResources, error) {
	return nil, nil, fmt.Errorf("updating resources: %w", errdefs.ErrNotImplemented)
}

// ToCRI reports the resources of a spec as ContainerStatus.resources wants them.
func ToCRI(s *specs.Spec) *runtimeapi.LinuxContainerResources {
	return nil
}

// ValidateResources refuses resource values that no kernel accepts; used by
// Validate and before UpdateContainerResources. field is the CRI field's name for messages.
func ValidateResources(field string, r *runtimeapi.LinuxContainerResources) error {
	return nil
}
