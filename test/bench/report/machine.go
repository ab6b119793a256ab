package report

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Machine says where the figures come from.
type Machine struct {
	CPUs  int    `json:"cpus"`
	Model string `json:"model"`
	// SHA reports whether the processors have instructions for SHA-256, which is much of what a pull takes.
	SHA      bool              `json:"sha"`
	Kernel   string            `json:"kernel"`
	Memory   uint64            `json:"memory"`
	CgroupV2 bool              `json:"cgroup_v2"`
	Load     string            `json:"load"`
	Versions map[string]string `json:"versions"`
}

// Look describes this machine and the programs in bin.
func Look(bin string) Machine {
	m := Machine{CPUs: runtime.NumCPU(), Versions: map[string]string{}}
	text, _ := os.ReadFile("/proc/cpuinfo")
	m.Model, m.SHA = processor(string(text))
	var uts unix.Utsname
	if unix.Uname(&uts) == nil {
		m.Kernel = unix.ByteSliceToString(uts.Release[:])
	}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		m.Memory = info.Totalram * uint64(info.Unit)
	}
	_, err := os.Stat("/sys/fs/cgroup/cgroup.controllers")
	m.CgroupV2 = err == nil
	load, _ := os.ReadFile("/proc/loadavg")
	m.Load, _, _ = strings.Cut(string(load), " ")
	for name, args := range map[string][]string{
		"berthd": {"version"}, "containerd": {"--version"}, "runc": {"--version"},
	} {
		out, _ := exec.Command(filepath.Join(bin, name), args...).Output()
		first, _, _ := strings.Cut(string(out), "\n")
		m.Versions[name] = strings.TrimSpace(first)
	}
	return m
}

// Summary is one line.
func (m Machine) Summary() string {
	version := "v1"
	if m.CgroupV2 {
		version = "v2"
	}
	sha := "without"
	if m.SHA {
		sha = "with"
	}
	return fmt.Sprintf("%d × %s %s SHA instructions, %d GiB, Linux %s, cgroup %s, load %s before",
		m.CPUs, m.Model, sha, m.Memory>>30, m.Kernel, version, m.Load)
}

// processor finds the model in the text of /proc/cpuinfo, and whether there are instructions for SHA-256,
// which x86 calls sha_ni and arm64 sha2.
func processor(text string) (model string, sha bool) {
	model = runtime.GOARCH
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(line, ":")
		switch name = strings.TrimSpace(name); {
		case !ok:
		case name == "model name":
			model = strings.TrimSpace(value)
		case name == "flags" || name == "Features":
			flags := strings.Fields(value)
			sha = slices.Contains(flags, "sha_ni") || slices.Contains(flags, "sha2")
		}
	}
	return model, sha
}
