package container

import (
	"sort"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-run/berth/config"
)

// ulimits puts the configured resource limits into OCI's words, in a fixed order.
func ulimits(in map[string]config.Ulimit) []specs.POSIXRlimit {
	out := make([]specs.POSIXRlimit, 0, len(in))
	for name, u := range in {
		out = append(out, specs.POSIXRlimit{Type: "RLIMIT_" + strings.ToUpper(name), Soft: u.Soft, Hard: u.Hard})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Type < out[j].Type })
	return out
}
