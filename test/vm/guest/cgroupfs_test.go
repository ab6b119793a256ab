package guest

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
)

const cgroupRoot = "/sys/fs/cgroup"

type resources = runtimeapi.LinuxContainerResources

// withResources sets the resources of a container.
func withResources(r *resources) daemon.ContainerOption {
	return func(c *runtimeapi.ContainerConfig) { c.Linux.Resources = r }
}

// pid is the machine's number of the container's first process.
func pid(t *testing.T, c *daemon.Container) int {
	t.Helper()
	resp, err := shared.Runtime.ContainerStatus(daemon.Context(t), &runtimeapi.ContainerStatusRequest{ContainerId: c.ID, Verbose: true})
	if err != nil {
		t.Fatal(err)
	}
	var info struct{ PID int }
	if err := json.Unmarshal([]byte(resp.GetInfo()["info"]), &info); err != nil || info.PID == 0 {
		t.Fatalf("no process in the verbose status (%v): %v", err, resp.GetInfo())
	}
	return info.PID
}

// cgroupOf is the directory of the cgroup that a process is in, as the kernel has it.
func cgroupOf(t *testing.T, pid int) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cgroup"))
	if err != nil {
		t.Fatal(err)
	}
	path, ok := strings.CutPrefix(strings.TrimSpace(string(b)), "0::")
	if !ok {
		t.Fatalf("/proc/%d/cgroup is not that of cgroup v2 alone: %q", pid, b)
	}
	return filepath.Join(cgroupRoot, path)
}

// dirOf is the container's cgroup.
func dirOf(t *testing.T, c *daemon.Container) string {
	t.Helper()
	return cgroupOf(t, pid(t, c))
}

// file is the content of a cgroup's file.
func file(t *testing.T, dir, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Error(err)
	}
	return strings.TrimSpace(string(b))
}

// number is a file with one number.
func number(t *testing.T, dir, name string) uint64 {
	t.Helper()
	v, err := strconv.ParseUint(file(t, dir, name), 10, 64)
	if err != nil {
		t.Errorf("%s/%s: %v", dir, name, err)
	}
	return v
}

// keyed is the value of a line "key value".
func keyed(t *testing.T, dir, name, key string) uint64 {
	t.Helper()
	for line := range strings.Lines(file(t, dir, name)) {
		if fields := strings.Fields(line); len(fields) == 2 && fields[0] == key {
			v, _ := strconv.ParseUint(fields[1], 10, 64)
			return v
		}
	}
	t.Errorf("%s/%s has no %s", dir, name, key)
	return 0
}

// wantFiles compares files of a cgroup.
func wantFiles(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	for name, value := range want {
		if got := file(t, dir, name); got != value {
			t.Errorf("%s/%s is %q, want %q", dir, name, got, value)
		}
	}
}

// cgroupsBelow lists the cgroups below a directory; none when it does not exist.
func cgroupsBelow(dir string) []string {
	var out []string
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() && path != dir {
			out = append(out, path)
		}
		return nil
	})
	return out
}

func bytes(n int) string { return strconv.Itoa(n) }
