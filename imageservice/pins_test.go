package imageservice

import (
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

func TestPins(t *testing.T) {
	id := "sha256:" + strings.Repeat("ab", 32)
	pins, err := ParsePins([]string{"registry.k8s.io/*", "busybox", "alpine:3*", "docker.io/library/debian*", id})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{
		"registry.k8s.io/pause:3.10":                                       true,
		"registry.k8s.io/pause@sha256:" + strings.Repeat("cd", 32):         true,
		"registry.k8s.io.example/pause:3.10":                               false,
		"docker.io/library/busybox:latest":                                 true,
		"docker.io/library/busybox:1":                                      false,
		"docker.io/library/alpine:3.22":                                    true,
		"docker.io/library/alpine:2":                                       false,
		"docker.io/library/debian:12":                                      true,
		"docker.io/library/debian-like@sha256:" + strings.Repeat("ef", 32): true,
		id:                                   true,
		"sha256:" + strings.Repeat("cd", 32): false,
		"a name of another tool":             false,
	} {
		if got := pins.match(name); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	for _, bad := range []string{"UPPER", "", "a b", "x@sha256:1"} {
		if _, err := ParsePins([]string{bad}); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
