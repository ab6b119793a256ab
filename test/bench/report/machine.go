package report

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Machine says where the figures come from.
type Machine struct {
	CPUs     int               `json:"cpus"`
	Model    string            `json:"model"`
	Kernel   string            `json:"kernel"`
	Memory   uint64            `json:"memory"`
	CgroupV2 bool              `json:"cgroup_v2"`
	Load     string            `json:"load"`
	Versions map[string]string `json:"versions"`
}

// Look describes this machine and the programs in bin.
func Look(bin string) Machine {
	m := Machine{CPUs: runtime.NumCPU(), Model: cpuModel(), Versions: map[string]string{}}
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
	return fmt.Sprintf("%d × %s, %d GiB, Linux %s, cgroup %s, load %s before", m.CPUs, m.Model, m.Memory>>30, m.Kernel, version, m.Load)
}

func cpuModel() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}
