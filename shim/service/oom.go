package service

import (
	"bufio"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	cgroupRoot = "/sys/fs/cgroup"
	// maxNested bounds how many cgroups below the container's are looked at.
	maxNested = 1000
)

// memoryCgroup finds where the kernel counts OOM kills of the cgroup that pid is in. v2 is set for
// the unified hierarchy. An empty dir: no memory controller.
func memoryCgroup(pid int) (dir string, v2 bool) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		return "", false
	}
	return parseCgroup(string(data))
}

// parseCgroup picks the memory controller's cgroup out of /proc/<pid>/cgroup: the v1 hierarchy
// when there is one, else the unified one.
func parseCgroup(data string) (dir string, v2 bool) {
	for line := range strings.Lines(data) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(f) != 3 {
			continue
		}
		if f[1] == "" {
			dir, v2 = filepath.Join(cgroupRoot, f[2]), true
			continue
		}
		for c := range strings.SplitSeq(f[1], ",") {
			if c == "memory" {
				return filepath.Join(cgroupRoot, "memory", f[2]), false
			}
		}
	}
	return dir, v2
}

// oomKills is how many processes in the cgroup the kernel has killed for want of memory.
func oomKills(dir string, v2 bool) uint64 {
	if dir == "" {
		return 0
	}
	if v2 {
		return readCounter(filepath.Join(dir, "memory.events"), "oom_kill") // counts nested cgroups too
	}
	var kills uint64
	seen := 0
	// v1 counts each cgroup for itself.
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil
		}
		if seen++; seen > maxNested {
			return fs.SkipAll
		}
		kills += readCounter(filepath.Join(path, "memory.oom_control"), "oom_kill")
		return nil
	})
	return kills
}

// readCounter reads the value of key in a file of "key value" lines; 0 when there is none.
func readCounter(path, key string) uint64 {
	f, err := os.Open(path)
	if err != nil {
		return 0
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if k, v, ok := strings.Cut(s.Text(), " "); ok && k == key {
			n, _ := strconv.ParseUint(v, 10, 64)
			return n
		}
	}
	return 0
}
