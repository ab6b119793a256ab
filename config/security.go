package config

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/moby/sys/capability"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// CapabilityName is a capability's name as OCI has it, "CAP_CHOWN", of a name in any case with or
// without the prefix; "" where there is no such capability.
func CapabilityName(name string) string {
	full := "CAP_" + strings.TrimPrefix(strings.ToUpper(name), "CAP_")
	for _, c := range capability.ListKnown() {
		if "CAP_"+strings.ToUpper(c.String()) == full {
			return full
		}
	}
	return ""
}

// seccompProblem says why a file is no seccomp profile in OCI's format; "" where it is one.
func seccompProblem(file string) string {
	raw, err := os.ReadFile(file)
	if err != nil {
		return fmt.Sprintf("the profile cannot be read: %v", err)
	}
	var p specs.LinuxSeccomp
	if err := json.Unmarshal(raw, &p); err != nil {
		return fmt.Sprintf("%s is not a seccomp profile in OCI's format: %v", file, err)
	}
	if p.DefaultAction == "" {
		return fmt.Sprintf("%s has no defaultAction", file)
	}
	return ""
}
