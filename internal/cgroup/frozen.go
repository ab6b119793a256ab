package cgroup

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxNested bounds how many cgroups below a container's are thawed.
const maxNested = 1000

// freezer is the file that freezes a cgroup, the directory that paths has it in, and what is in it: while the cgroup
// itself is frozen, and to thaw it.
func (h *Host) freezer(paths Paths) (dir, file, thawed string) {
	if h.Mode == Unified {
		return paths[""], "cgroup.freeze", "0"
	}
	return paths["freezer"], "freezer.state", "THAWED"
}

// FrozenBy is the directory of the cgroup that makes the processes of a cgroup stand still, as `ctr task pause` and
// a checkpoint leave it: the cgroup itself, or the nearest one above it that is frozen. It is empty when they run.
func (h *Host) FrozenBy(paths Paths) string {
	dir, _, _ := h.freezer(paths)
	root, self := h.Controllers["freezer"], "freezer.self_freezing"
	if h.Mode == Unified {
		root, self = h.Root, "cgroup.freeze"
	}
	for ; dir != "" && strings.HasPrefix(dir, root+"/"); dir = filepath.Dir(dir) {
		state, err := os.ReadFile(filepath.Join(dir, self))
		if err == nil && strings.TrimSpace(string(state)) == "1" {
			return dir
		}
	}
	return ""
}

// ThawCommand is what a user types to thaw the cgroup in a directory that FrozenBy gave.
func (h *Host) ThawCommand(dir string) string {
	_, file, thawed := h.freezer(nil)
	return "echo " + thawed + " >" + filepath.Join(dir, file)
}

// Thaw lets the processes of a container's cgroup go on, also in cgroups that the container made below it, and thaws
// its pod's cgroup, which would hold them frozen. On cgroup v1 no signal ends a frozen process; on cgroup v2 SIGKILL
// alone does. Cgroups further up are not thawed, because they hold other pods.
func (h *Host) Thaw(paths Paths) {
	dir, file, thawed := h.freezer(paths)
	if dir == "" {
		return
	}
	_ = write(filepath.Join(filepath.Dir(dir), file), thawed)
	h.thawBelow(paths)
}

// thawBelow thaws a cgroup and all below it.
func (h *Host) thawBelow(paths Paths) {
	dir, file, thawed := h.freezer(paths)
	if dir == "" {
		return
	}
	seen := 0
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil
		}
		if seen++; seen > maxNested {
			return fs.SkipAll
		}
		_ = write(filepath.Join(path, file), thawed)
		return nil
	})
}
