package cgroup

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFreezer freezes a container's cgroup, its pod's, and ones above and below, and thaws what may be thawed.
func TestFreezer(t *testing.T) {
	for mode, h := range map[string]*Host{
		"v1": {Root: t.TempDir(), Mode: Legacy},
		"v2": {Root: t.TempDir(), Mode: Unified},
	} {
		t.Run(mode, func(t *testing.T) {
			root, self, state, frozen, thawed := h.Root, "cgroup.freeze", "cgroup.freeze", "1", "0"
			if h.Mode != Unified {
				root = filepath.Join(h.Root, "freezer")
				h.Controllers = map[string]string{"freezer": root}
				self, state, frozen, thawed = "freezer.self_freezing", "freezer.state", "FROZEN", "THAWED"
			}
			levels := []string{"above", "above/pod", "above/pod/ctr", "above/pod/ctr/below"}
			set := func(level, value string) {
				t.Helper()
				dir := filepath.Join(root, level)
				if err := os.MkdirAll(dir, 0o700); err != nil {
					t.Fatal(err)
				}
				is := map[bool]string{true: "1", false: "0"}[value == frozen]
				for _, file := range [][2]string{{state, value}, {self, is}} {
					if err := os.WriteFile(filepath.Join(dir, file[0]), []byte(file[1]+"\n"), 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}
			paths := h.Resolve("/above/pod/ctr")
			for i, level := range levels {
				for _, l := range levels {
					set(l, thawed)
				}
				if by := h.FrozenBy(paths); by != "" {
					t.Errorf("nothing is frozen, and it is frozen by %s", by)
				}
				set(level, frozen)
				want := filepath.Join(root, level)
				if i == 3 {
					want = ""
				}
				if by := h.FrozenBy(paths); by != want {
					t.Errorf("frozen by %q, want %q", by, want)
				}
				h.Thaw(paths)
				raw, err := os.ReadFile(filepath.Join(root, level, state))
				if got := strings.TrimSpace(string(raw)); err != nil || strings.HasPrefix(got, thawed) != (i > 0) {
					t.Errorf("%s is %q after that", level, got)
				}
			}
		})
	}
}
