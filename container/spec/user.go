package spec

import (
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/container/users"
)

// UserSpec says which user a container is to run as: run_as_username, else
// run_as_user, else the image's user, else root; run_as_group replaces the
// primary group. The answer goes to users.Lookup, unless NeedsFiles says that
// it can be resolved without the image.
func UserSpec(config *runtimeapi.ContainerConfig, image ocispec.ImageConfig) users.UserSpec {
	return users.UserSpec{}
}
