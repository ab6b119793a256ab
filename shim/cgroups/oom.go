package cgroups

import "path/filepath"

// OOMKills is how many processes in the cgroup and below it the kernel has killed for want of memory.
func (g Group) OOMKills() uint64 {
	dir := g.Dirs["memory"]
	if dir == "" {
		if dir = g.Dirs[""]; dir == "" || !g.alone() {
			return 0
		}
		return Value(filepath.Join(dir, "memory.events"), "oom_kill") // counts nested cgroups too
	}
	var kills uint64
	// v1 counts each cgroup for itself.
	_ = walk(dir, func(dir string) { kills += Value(filepath.Join(dir, "memory.oom_control"), "oom_kill") })
	return kills
}
