package engine

import (
	"runtime/debug"

	"github.com/containerd/errdefs"
)

// moduleVersion returns the version of a module linked into this binary, or ""
// when the build carries no module information (go test of older toolchains).
func moduleVersion(path string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, m := range info.Deps {
		if m.Path == path {
			return m.Version
		}
	}
	return ""
}

func isAlreadyExists(err error) bool { return errdefs.IsAlreadyExists(err) }
