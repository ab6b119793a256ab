package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// sysctls are those that the kubelet sets on its host.
var sysctls = []string{
	"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops",
	"kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes",
}

// fixedDirs are directories that the kubelet uses whatever its configuration says.
var fixedDirs = []string{"/var/lib/kubelet", "/var/log/containers"}

const cgroupMount = "/sys/fs/cgroup"

// host is what the kubelet changes on the host outside its directory.
type host struct {
	sysctls map[string][]byte
	absent  []string // of fixedDirs: those that were not there
	cgroup  string
}

// prepareHost remembers the host's state and makes a cgroup for the kubelet's pods. It
// refuses a host that has a kubelet of its own.
func prepareHost() (*host, error) {
	if _, err := os.Stat("/var/lib/kubelet/device-plugins/kubelet.sock"); err == nil {
		return nil, errors.New("a kubelet runs on this host, or has run and left its socket in /var/lib/kubelet")
	}
	h := &host{sysctls: map[string][]byte{}, cgroup: fmt.Sprintf("/berth-e2e-%d", os.Getpid())}
	for _, name := range sysctls {
		value, err := os.ReadFile("/proc/sys/" + name)
		if err != nil {
			return nil, fmt.Errorf("remembering a sysctl: %w", err)
		}
		h.sysctls[name] = value
	}
	for _, dir := range fixedDirs {
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			h.absent = append(h.absent, dir)
		}
	}
	for _, dir := range h.cgroupDirs() {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return nil, fmt.Errorf("making the kubelet's root cgroup: %w", err)
		}
		if err := copyCpuset(dir); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// cgroupDirs are the directories of the kubelet's root cgroup: one on cgroup v2, one
// per hierarchy on v1.
func (h *host) cgroupDirs() []string {
	if _, err := os.Stat(filepath.Join(cgroupMount, "cgroup.controllers")); err == nil {
		return []string{filepath.Join(cgroupMount, h.cgroup)}
	}
	var dirs []string
	entries, _ := os.ReadDir(cgroupMount)
	for _, e := range entries {
		if e.IsDir() {
			dirs = append(dirs, filepath.Join(cgroupMount, e.Name(), h.cgroup))
		}
	}
	return dirs
}

// copyCpuset gives a new cgroup v1 cpuset the processors and memory nodes of its
// parent; it begins with none.
func copyCpuset(dir string) error {
	for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
		if _, err := os.Stat(filepath.Join(dir, "tasks")); err != nil {
			return nil // not cgroup v1
		}
		value, err := os.ReadFile(filepath.Join(filepath.Dir(dir), name))
		if errors.Is(err, fs.ErrNotExist) {
			return nil // another controller's hierarchy
		}
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), value, 0o644); err != nil {
			return fmt.Errorf("setting up the cpuset of the kubelet's root cgroup: %w", err)
		}
	}
	return nil
}

// restore puts the host back as it was. A cgroup that cannot be removed has a process
// in it that outlived its pod: an error.
func (h *host) restore() error {
	var errs []error
	for name, value := range h.sysctls {
		if err := os.WriteFile("/proc/sys/"+name, value, 0o644); err != nil && !errors.Is(err, syscall.EINVAL) {
			errs = append(errs, fmt.Errorf("restoring a sysctl: %w", err))
		}
	}
	for _, dir := range h.absent {
		errs = append(errs, os.RemoveAll(dir))
	}
	for _, dir := range h.cgroupDirs() {
		errs = append(errs, removeCgroup(dir))
	}
	return errors.Join(errs...)
}

func removeCgroup(dir string) error {
	var dirs []string
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	})
	for _, d := range slices.Backward(dirs) {
		if err := os.Remove(d); err != nil {
			procs, _ := os.ReadFile(filepath.Join(d, "cgroup.procs"))
			return fmt.Errorf("cgroup left over, with the processes %q: %w", strings.Fields(string(procs)), err)
		}
	}
	return nil
}

// mountsBelow lists the mount points at dir and below, in the order they were made.
func mountsBelow(dir string) ([]string, error) {
	content, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var mounts []string
	for line := range strings.Lines(string(content)) {
		fields := strings.Fields(line)
		if len(fields) > 4 && (fields[4] == dir || strings.HasPrefix(fields[4], dir+"/")) {
			mounts = append(mounts, fields[4])
		}
	}
	return mounts, nil
}
