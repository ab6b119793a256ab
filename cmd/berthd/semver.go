package main

import (
	"regexp"
	"strings"
)

// nextVersion is the version that a build of a commit without a tag comes before.
const nextVersion = "0.2.0"

var (
	// semantic is a version as of semver.org: numbers, pre-release, metadata of the build.
	semantic = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)` +
		`(?:-(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*)?` +
		`(?:\+[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*)?$`)
	// described is what git describe says of a commit after a tag, or of a changed tree:
	// TAG-COUNT-gCOMMIT-dirty.
	described = regexp.MustCompile(`^(.*?)(?:-([0-9]+-g[0-9a-f]+))?(?:-(dirty))?$`)
	// unfit is what build metadata may not have.
	unfit = regexp.MustCompile(`[^0-9A-Za-z-]+`)
)

// semanticVersion makes a semantic version (semver.org) of what the linker or Go's build information says. The kubelet
// parses VersionResponse.runtime_version, and reports "berth://Unknown" for a node where it
// cannot. A commit is metadata of the build: "0.2.0-dev+1bb37fb" without a tag before it,
// "0.2.0+5-g1bb37fb" five commits after the tag v0.2.0.
func semanticVersion(raw string) string {
	plain := strings.TrimPrefix(raw, "v")
	if m := described.FindStringSubmatch(plain); m != nil && m[2]+m[3] != "" {
		metadata := strings.Trim(m[2]+"."+m[3], ".")
		if v := m[1] + "+" + metadata; semantic.MatchString(v) {
			return v
		}
	}
	if semantic.MatchString(plain) {
		return plain
	}
	commit := strings.Trim(unfit.ReplaceAllString(strings.ReplaceAll(raw, "-dirty", ".dirty"), "."), ".")
	if commit == "" {
		commit = "unknown"
	}
	return nextVersion + "-dev+" + commit
}
