package spec

import (
	"fmt"

	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Build makes the OCI spec of a container.
//
// It changes nothing on the host and never changes its input; the same input
// gives the same spec. Errors are classified: ErrInvalidArgument for what the
// request got wrong, ErrNotFound for a device, profile or bind source that is
// not there, ErrFailedPrecondition for what this host or handler cannot do.
func Build(in Input) (*Output, error) {
	return nil, fmt.Errorf("building the spec: %w", errdefs.ErrNotImplemented)
}

// Validate refuses a container request that can never work, from the request
// and its pod's request alone. It is to be called before any side effect.
// Every error is ErrInvalidArgument and names the field.
func Validate(config *runtimeapi.ContainerConfig, pod *runtimeapi.PodSandboxConfig) error {
	return nil
}
