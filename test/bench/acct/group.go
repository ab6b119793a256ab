// Package acct accounts for what a runtime costs: CPU seconds of all its processes, dead
// ones included, by a cgroup of its own; memory and file descriptors by /proc.
package acct

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const mount = "/sys/fs/cgroup"

// unified reports whether this host has cgroup v2 alone.
func unified() bool {
	_, err := os.Stat(filepath.Join(mount, "cgroup.controllers"))
	return err == nil
}

// hierarchies are the directories in which a cgroup has to be looked for: one on v2, one
// per controller on v1.
func hierarchies() []string {
	if unified() {
		return []string{mount}
	}
	entries, _ := os.ReadDir(mount)
	var dirs []string
	for _, e := range entries {
		dir := filepath.Join(mount, e.Name())
		if _, err := os.Stat(filepath.Join(dir, "cgroup.procs")); err == nil && e.IsDir() {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// Group is the cgroup of one runtime. Its child "daemon" has the daemon and everything
// that it starts; its child "pods" is the parent of the pods' cgroups. So the CPU time of
// the group is that of all of the runtime's processes, also of those that have ended.
type Group struct {
	// Path is that of the group, from the root of every hierarchy: "/bb-1/berth".
	Path string
}

// NewGroup makes the group where CPU time is accounted.
func NewGroup(path string) (*Group, error) {
	g := &Group{Path: path}
	for _, dir := range []string{g.Daemon(), g.Pods()} {
		if err := os.MkdirAll(accounting(dir), 0o755); err != nil {
			return nil, fmt.Errorf("making the cgroup of a runtime: %w", err)
		}
	}
	return g, nil
}

// Daemon is the path of the daemon's cgroup, Pods that of the parent of pods.
func (g *Group) Daemon() string { return g.Path + "/daemon" }

// Pods is what the cgroup parents of pods are below.
func (g *Group) Pods() string { return g.Path + "/pods" }

// Procs is the file into which a process writes its ID to get into the daemon's cgroup.
func (g *Group) Procs() string { return filepath.Join(accounting(g.Daemon()), "cgroup.procs") }

// accounting is the directory of a cgroup where its CPU time can be read.
func accounting(path string) string {
	if unified() {
		return filepath.Join(mount, path)
	}
	return filepath.Join(mount, "cpuacct", path)
}

// CPU is the time that the processes of the whole group have used, pods included.
func (g *Group) CPU() (time.Duration, error) { return CPU(g.Path) }

// CPU is the time that the processes of a cgroup and of those below it have used.
func CPU(path string) (time.Duration, error) {
	if !unified() {
		text, err := os.ReadFile(filepath.Join(accounting(path), "cpuacct.usage"))
		if err != nil {
			return 0, err
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		return time.Duration(n), err
	}
	text, err := os.ReadFile(filepath.Join(accounting(path), "cpu.stat"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "usage_usec "); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
			return time.Duration(n) * time.Microsecond, err
		}
	}
	return 0, fmt.Errorf("%s has no usage_usec", path)
}

// MakePod makes the cgroup of a pod in every hierarchy, as the kubelet does before it
// asks for the pod.
func MakePod(path string) error {
	for _, dir := range hierarchies() {
		if err := os.MkdirAll(filepath.Join(dir, path), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// RemovePod removes the cgroup of a pod, with what a runtime may have left in it.
func RemovePod(path string) error {
	var errs []error
	for _, dir := range hierarchies() {
		errs = append(errs, removeTree(filepath.Join(dir, path)))
	}
	return errors.Join(errs...)
}

func removeTree(dir string) error {
	// The usual case: nothing below it.
	if err := unix.Rmdir(dir); err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() {
			_ = removeTree(filepath.Join(dir, e.Name()))
		}
	}
	var err error
	for range 100 { // the kernel takes a moment to see that a process is gone
		if err = unix.Rmdir(dir); err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("removing the cgroup %s: %w", dir, err)
}

// Remove removes the group, which has to have no processes any more.
func (g *Group) Remove() error { return RemovePod(g.Path) }

// PIDs are the processes in a cgroup and in those below it.
func PIDs(path string) []int {
	var pids []int
	_ = filepath.WalkDir(accounting(path), func(name string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return nil
		}
		text, _ := os.ReadFile(filepath.Join(name, "cgroup.procs"))
		for _, field := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(field); err == nil {
				pids = append(pids, pid)
			}
		}
		return nil
	})
	return pids
}

// AccountingMount is where the hierarchy is mounted that accounts for CPU time, when
// controllers (the second field of /proc/PID/cgroup) are those of it; empty otherwise.
func AccountingMount(controllers string) string {
	if unified() {
		if controllers == "" {
			return mount
		}
		return ""
	}
	for name := range strings.SplitSeq(controllers, ",") {
		if name == "cpuacct" {
			return filepath.Join(mount, name)
		}
	}
	return ""
}
