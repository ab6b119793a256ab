package guest

import (
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
)

// TestHost reports whether this is the machine it should be, and that berthd sees it.
func TestHost(t *testing.T) {
	d := use(t)
	var fs unix.Statfs_t
	if err := unix.Statfs(cgroupRoot, &fs); err != nil || fs.Type != unix.CGROUP2_SUPER_MAGIC {
		t.Fatalf("%s has filesystem %#x (%v), not cgroup2", cgroupRoot, fs.Type, err)
	}
	config, err := d.Runtime.RuntimeConfig(daemon.Context(t), &runtimeapi.RuntimeConfigRequest{})
	if err != nil || config.GetLinux().GetCgroupDriver() != runtimeapi.CgroupDriver_CGROUPFS {
		t.Errorf("RuntimeConfig: %v, %v", config, err)
	}
	status, err := d.Runtime.Status(daemon.Context(t), &runtimeapi.StatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range status.GetStatus().GetConditions() {
		if !c.GetStatus() {
			t.Errorf("%s: %s: %s", c.GetType(), c.GetReason(), c.GetMessage())
		}
	}
	for _, h := range status.GetRuntimeHandlers() {
		t.Logf("handler %q: %v", h.GetName(), h.GetFeatures())
	}
}

// limited are resources in all parts that this kernel has.
func limited() *resources {
	return &resources{
		CpuShares: 512, CpuQuota: 50000, CpuPeriod: 100000, CpusetCpus: "0-1", CpusetMems: "0",
		MemoryLimitInBytes: 64 << 20, MemorySwapLimitInBytes: 80 << 20, OomScoreAdj: -500,
		HugepageLimits: []*runtimeapi.HugepageLimit{{PageSize: "2MB", Limit: 4 << 20}},
		Unified:        map[string]string{"memory.high": bytes(48 << 20), "memory.oom.group": "1", "pids.max": "50"},
	}
}

// TestLimits looks for every limit of a container where the kernel has it.
func TestLimits(t *testing.T) {
	d := use(t)
	c := d.RunPod(t).RunWith(t, withResources(limited()))
	dir := dirOf(t, c)
	if !strings.HasPrefix(dir, cgroupRoot+"/berth/") || !strings.HasSuffix(dir, "/"+c.ID) {
		t.Errorf("cgroup %s", dir)
	}
	wantFiles(t, dir, map[string]string{
		"cpu.weight": "59", "cpu.max": "50000 100000", "cpuset.cpus": "0-1", "cpuset.mems": "0",
		"memory.max": bytes(64 << 20), "memory.swap.max": bytes(16 << 20), "memory.high": bytes(48 << 20),
		"memory.oom.group": "1", "pids.max": "50", "hugetlb.2MB.max": bytes(4 << 20),
	})
	if got := c.Output(t, "cat /proc/1/oom_score_adj"); got != "-500\n" {
		t.Errorf("oom_score_adj %q", got)
	}
	if got := c.Status(t).GetResources().GetLinux(); got.GetUnified()["memory.high"] != bytes(48<<20) || got.GetMemoryLimitInBytes() != 64<<20 {
		t.Errorf("resources in the status: %v", got)
	}
	plain := d.RunPod(t).Run(t)
	wantFiles(t, dirOf(t, plain), map[string]string{
		"cpu.max": "max 100000", "memory.max": "max", "memory.swap.max": "max", "memory.high": "max", "pids.max": "max",
	})
}

// TestUpdate changes the limits of a container that runs, and of one that does not yet.
func TestUpdate(t *testing.T) {
	d := use(t)
	pod := d.RunPod(t)
	running, created := pod.RunWith(t, withResources(limited())), pod.Create(t, withResources(limited()))
	for _, c := range []*daemon.Container{running, created} {
		_, err := d.Runtime.UpdateContainerResources(daemon.Context(t), &runtimeapi.UpdateContainerResourcesRequest{
			ContainerId: c.ID,
			Linux: &resources{
				CpuShares: 2048, CpuQuota: 150000, CpuPeriod: 100000, CpusetCpus: "1",
				MemoryLimitInBytes: 128 << 20, MemorySwapLimitInBytes: 128 << 20,
				Unified: map[string]string{"memory.high": "max", "memory.low": bytes(8 << 20)},
			},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	created.Start(t)
	for name, c := range map[string]*daemon.Container{"running": running, "created": created} {
		t.Run(name, func(t *testing.T) {
			wantFiles(t, dirOf(t, c), map[string]string{
				"cpu.max": "150000 100000", "cpuset.cpus": "1", "cpuset.mems": "0",
				"memory.max": bytes(128 << 20), "memory.swap.max": "0", "memory.high": "max", "memory.low": bytes(8 << 20),
				"memory.oom.group": "1", "pids.max": "50",
			})
			if got := c.Status(t).GetResources().GetLinux(); got.GetUnified()["memory.low"] != bytes(8<<20) || got.GetCpuShares() != 2048 {
				t.Errorf("resources in the status: %v", got)
			}
		})
	}
	t.Run("limits off", func(t *testing.T) {
		_, err := d.Runtime.UpdateContainerResources(daemon.Context(t), &runtimeapi.UpdateContainerResourcesRequest{
			ContainerId: running.ID, Linux: &resources{CpuQuota: -1, MemoryLimitInBytes: -1, MemorySwapLimitInBytes: -1},
		})
		if err != nil {
			t.Fatal(err)
		}
		wantFiles(t, dirOf(t, running), map[string]string{"cpu.max": "max 100000", "memory.max": "max", "memory.swap.max": "max"})
	})
	t.Run("refused", func(t *testing.T) {
		for key, value := range map[string]string{"memory.nonsense": "1", "memory.high": "nonsense"} {
			_, err := d.Runtime.UpdateContainerResources(daemon.Context(t), &runtimeapi.UpdateContainerResourcesRequest{
				ContainerId: running.ID, Linux: &resources{Unified: map[string]string{key: value}},
			})
			if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), key) {
				t.Errorf("%s = %s: %v", key, value, err)
			}
			if got := running.Status(t).GetResources().GetLinux().GetUnified(); got[key] == value {
				t.Errorf("what the kernel refused is in the status: %v", got)
			}
		}
		wantFiles(t, dirOf(t, running), map[string]string{"memory.low": bytes(8 << 20)})
	})
}

// TestRefused asks for limits that this kernel does not have or take.
func TestRefused(t *testing.T) {
	d := use(t)
	pod := d.RunPod(t)
	for key, value := range map[string]string{"memory.nonsense": "1", "memory.high": "nonsense"} {
		r := pod.CreateRequest(withResources(&resources{Unified: map[string]string{key: value}}))
		resp, err := d.Runtime.CreateContainer(daemon.Context(t), r)
		if err == nil {
			_, err = d.Runtime.StartContainer(daemon.Context(t), &runtimeapi.StartContainerRequest{ContainerId: resp.GetContainerId()})
		}
		if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), key) {
			t.Errorf("%s = %s: %v", key, value, err)
		}
		if left := cgroupsBelow(filepath.Join(cgroupRoot, "berth", pod.ID)); len(left) > 0 {
			t.Errorf("left over: %q", left)
		}
	}
}

// TestPids runs into a limit of processes.
func TestPids(t *testing.T) {
	// A shell that cannot fork ends.
	c := use(t).RunPod(t).RunWith(t, withResources(&resources{Unified: map[string]string{"pids.max": "10"}}),
		daemon.WithShell("(n=0; while [ $n -lt 20 ]; do sleep 1000 & n=$((n+1)); done); exec sleep 1000"))
	daemon.Eventually(t, "at the limit of processes", func() bool {
		return keyed(t, dirOf(t, c), "pids.events", "max") > 0
	})
	if got := number(t, dirOf(t, c), "pids.current"); got > 10 {
		t.Errorf("%d processes with a limit of 10", got)
	}
}
