package engine

import (
	"github.com/containerd/typeurl/v2"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-run/berth/engine/ocispec"
)

// MarshalSpec encodes an OCI spec for a container's record: packed for the embedded containerd,
// as JSON for an external one, which hands it to shims itself.
func (e *Engine) MarshalSpec(s *specs.Spec) (typeurl.Any, error) {
	return ocispec.Marshal(s, e.Embedded)
}
