package integration

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
)

const cgroupMount = "/sys/fs/cgroup"

// cgroupV2 says that the host has cgroup v2 alone.
func cgroupV2() bool {
	_, err := os.Stat(filepath.Join(cgroupMount, "cgroup.controllers"))
	return err == nil
}

// cgroupOf is the path of a process's cgroup in a v1 controller, or on v2.
func cgroupOf(t *testing.T, pid int, controller string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("/proc", itoa(pid), "cgroup"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(content)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if cgroupV2() {
			return filepath.Join(cgroupMount, fields[2])
		}
		if fields[1] == controller {
			return filepath.Join(cgroupMount, controller, fields[2])
		}
	}
	t.Fatalf("process %d has no %s cgroup:\n%s", pid, controller, content)
	return ""
}

// limit is a file of a cgroup and what it has to have in it.
type limit struct{ controller, v1, v2, want1, want2 string }

func wantLimits(t *testing.T, pid int, up int, limits ...limit) {
	t.Helper()
	for _, l := range limits {
		dir := cgroupOf(t, pid, l.controller)
		for range up {
			dir = filepath.Dir(dir)
		}
		name, want := l.v1, l.want1
		if cgroupV2() {
			name, want = l.v2, l.want2
		}
		got, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) && name == "memory.memsw.limit_in_bytes" {
			continue // the kernel does not account for swap
		}
		if err != nil || strings.TrimSpace(string(got)) != want {
			t.Errorf("%s has %q, want %q (%v)", filepath.Join(dir, name), strings.TrimSpace(string(got)), want, err)
		}
	}
}

// TestUpdateResources changes a container's resources before and after its start, and sees
// them in its cgroup and its status.
func TestUpdateResources(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		c := d.RunPod(t).Create(t, func(c *runtimeapi.ContainerConfig) {
			c.Linux.Resources = &runtimeapi.LinuxContainerResources{CpuShares: 256, MemoryLimitInBytes: 64 << 20}
		})
		update := func(r *runtimeapi.LinuxContainerResources) {
			t.Helper()
			if _, err := d.Runtime.UpdateContainerResources(daemon.Context(t), &runtimeapi.UpdateContainerResourcesRequest{ContainerId: c.ID, Linux: r}); err != nil {
				t.Fatal(err)
			}
		}
		update(&runtimeapi.LinuxContainerResources{CpuPeriod: 50000, CpuQuota: 25000, MemoryLimitInBytes: 128 << 20})
		c.Start(t)
		pid := pidOf(t, d, c)
		wantLimits(t, pid, 0,
			limit{"cpu", "cpu.shares", "cpu.weight", "256", "35"},
			limit{"cpu", "cpu.cfs_quota_us", "cpu.max", "25000", "25000 50000"},
			limit{"memory", "memory.limit_in_bytes", "memory.max", "134217728", "134217728"})
		update(&runtimeapi.LinuxContainerResources{CpuShares: 512, CpuQuota: 40000, CpuPeriod: 50000, MemoryLimitInBytes: 96 << 20, CpusetCpus: "0"})
		wantLimits(t, pid, 0,
			limit{"cpu", "cpu.shares", "cpu.weight", "512", "59"},
			limit{"cpu", "cpu.cfs_quota_us", "cpu.max", "40000", "40000 50000"},
			limit{"cpuset", "cpuset.cpus", "cpuset.cpus", "0", "0"},
			limit{"memory", "memory.limit_in_bytes", "memory.max", "100663296", "100663296"})
		r := c.Status(t).GetResources().GetLinux()
		if r.GetCpuShares() != 512 || r.GetCpuQuota() != 40000 || r.GetMemoryLimitInBytes() != 96<<20 || r.GetCpusetCpus() != "0" {
			t.Errorf("status has %v", r)
		}
	})
}

// TestPodResources sets limits of the pod as a whole.
func TestPodResources(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		pod := d.RunPod(t)
		c := pod.Run(t)
		_, err := d.Runtime.UpdatePodSandboxResources(daemon.Context(t), &runtimeapi.UpdatePodSandboxResourcesRequest{
			PodSandboxId: pod.ID,
			Overhead:     &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 16 << 20, CpuShares: 100},
			Resources:    &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 256 << 20, CpuShares: 400},
		})
		if err != nil {
			t.Fatal(err)
		}
		wantLimits(t, pidOf(t, d, c), 1,
			limit{"memory", "memory.limit_in_bytes", "memory.max", "285212672", "285212672"},
			limit{"cpu", "cpu.shares", "cpu.weight", "500", "58"})
	})
}

// TestCgroupParent puts a pod below a cgroup of the client's, which the runtime leaves alone.
func TestCgroupParent(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		parent := "/" + filepath.Base(d.Dir)
		pod := d.RunPod(t, daemon.WithPod(func(c *runtimeapi.PodSandboxConfig) { c.Linux.CgroupParent = parent + "/pod" }))
		c := pod.Run(t)
		dir := cgroupOf(t, pidOf(t, d, c), "memory")
		if !strings.HasSuffix(dir, parent+"/pod/"+c.ID) {
			t.Errorf("the container is in %s", dir)
		}
		pod.Remove(t)
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s is left", dir)
		}
		removeCgroups(parent)
	})
}

// removeCgroups removes a cgroup and those below it, in every hierarchy.
func removeCgroups(parent string) {
	entries, _ := os.ReadDir(cgroupMount)
	for _, e := range entries {
		_ = os.Remove(filepath.Join(cgroupMount, e.Name(), parent, "pod"))
		_ = os.Remove(filepath.Join(cgroupMount, e.Name(), parent))
	}
	_ = os.Remove(filepath.Join(cgroupMount, parent, "pod"))
	_ = os.Remove(filepath.Join(cgroupMount, parent))
}

func TestStats(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		pod := d.RunPod(t)
		c := pod.RunWith(t, daemon.WithShell("head -c 5000000 /dev/zero > /file; sync; echo written; sleep 1000"))
		c.WaitLog(t, "written") // before it is measured for the first time
		daemon.Eventually(t, "measured: CPU, memory and disk of the container", func() bool {
			resp, err := d.Runtime.ContainerStats(daemon.Context(t), &runtimeapi.ContainerStatsRequest{ContainerId: c.ID})
			if err != nil {
				t.Fatal(err)
			}
			s := resp.GetStats()
			return s.GetAttributes().GetId() == c.ID && s.GetCpu().GetUsageCoreNanoSeconds().GetValue() > 0 &&
				s.GetMemory().GetWorkingSetBytes().GetValue() > 0 && s.GetWritableLayer().GetUsedBytes().GetValue() >= 5000000
		})
		resp, err := d.Runtime.PodSandboxStats(daemon.Context(t), &runtimeapi.PodSandboxStatsRequest{PodSandboxId: pod.ID})
		if err != nil {
			t.Fatal(err)
		}
		s := resp.GetStats()
		if s.GetAttributes().GetId() != pod.ID || len(s.GetLinux().GetContainers()) != 1 ||
			s.GetLinux().GetNetwork().GetDefaultInterface().GetName() == "" || s.GetLinux().GetProcess().GetProcessCount().GetValue() == 0 {
			t.Errorf("statistics of the pod: %v", s)
		}
	})
}
