package cgroup

import (
	"os"
	"path/filepath"
	"strings"
)

// Frozen reports whether the processes of a cgroup stand still because it, or one above it, is frozen, as
// `ctr task pause` and a checkpoint leave it.
func (h *Host) Frozen(paths Paths) bool {
	if h.Mode == Unified {
		events, _ := os.ReadFile(filepath.Join(paths[""], "cgroup.events"))
		return strings.Contains(string(events), "frozen 1")
	}
	dir := paths["freezer"]
	if dir == "" {
		return false
	}
	state, err := os.ReadFile(filepath.Join(dir, "freezer.state"))
	return err == nil && strings.TrimSpace(string(state)) != "THAWED"
}

// Thaw lets the processes of a container's cgroup go on, and its pod's cgroup, which holds it, with it: on
// cgroup v1 a frozen process dies of no signal, and nowhere does it act on one. Cgroups further up are
// not thawed, they hold other pods.
func (h *Host) Thaw(paths Paths) {
	file, value, dir := "cgroup.freeze", "0", paths[""]
	if h.Mode != Unified {
		file, value, dir = "freezer.state", "THAWED", paths["freezer"]
	}
	if dir == "" {
		return
	}
	_ = write(filepath.Join(filepath.Dir(dir), file), value)
	_ = write(filepath.Join(dir, file), value)
}
