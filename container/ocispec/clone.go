package ocispec

import (
	"encoding/json"
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// clone is a deep copy of a spec. The type exists to be JSON, so the way
// through JSON loses nothing.
func clone(s *specs.Spec) *specs.Spec {
	data, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("an OCI spec does not marshal: %v", err))
	}
	var c specs.Spec
	if err := json.Unmarshal(data, &c); err != nil {
		panic(fmt.Sprintf("an OCI spec does not unmarshal: %v", err))
	}
	return &c
}
