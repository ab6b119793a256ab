package guest

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
	"github.com/berth-run/berth/test/images"
)

// Load has sizes that show in every figure: it holds more memory than its limit, so part of
// it is swapped out, has written a file through to the disk, and burns its CPU quota.
const (
	loadHeld    = 96 << 20
	loadLimit   = 48 << 20
	loadWritten = 16 << 20
	loadScript  = `memhog -mb 96 & dd if=/dev/zero of=/file bs=1M count=16 conv=fsync; echo written; while :; do :; done`
)

func runLoad(t *testing.T, pod *daemon.Pod) *daemon.Container {
	t.Helper()
	c := pod.RunWith(t, daemon.WithImage(images.Tools), daemon.WithShell(loadScript), withResources(&resources{
		CpuQuota: 50000, CpuPeriod: 100000, MemoryLimitInBytes: loadLimit, MemorySwapLimitInBytes: 200 << 20,
	}))
	c.WaitLog(t, "written\n")
	c.WaitLog(t, "holding")
	return c
}

// TestStats compares the figures of CRI with what the container does and the kernel says.
func TestStats(t *testing.T) {
	d := use(t)
	pod := d.RunPod(t)
	c := runLoad(t, pod)
	idle := pod.Run(t)
	var st *runtimeapi.ContainerStats
	stats := func() *runtimeapi.ContainerStats {
		resp, err := d.Runtime.ContainerStats(daemon.Context(t), &runtimeapi.ContainerStatsRequest{ContainerId: c.ID})
		if err != nil {
			t.Fatal(err)
		}
		return resp.GetStats()
	}
	daemon.Eventually(t, "measured: CPU use and the writable layer", func() bool {
		st = stats()
		return st.GetCpu().GetUsageNanoCores() != nil && st.GetWritableLayer().GetUsedBytes().GetValue() >= loadWritten
	})
	dir := dirOf(t, c)
	mem, swap := st.GetMemory(), st.GetSwap()
	for name, ok := range map[string]bool{
		"CPU rate below the quota": st.GetCpu().GetUsageNanoCores().GetValue() > 50e6 && st.GetCpu().GetUsageNanoCores().GetValue() < 600e6,
		"CPU time":                 st.GetCpu().GetUsageCoreNanoSeconds().GetValue() > 100e6 && st.GetCpu().GetUsageCoreNanoSeconds().GetValue()/1000 <= keyed(t, dir, "cpu.stat", "usage_usec"),
		"CPU pressure":             st.GetCpu().GetPsi().GetSome().GetTotal() > 0 && st.GetCpu().GetPsi().GetSome().GetAvg10() > 0,
		"working set":              mem.GetWorkingSetBytes().GetValue() > loadLimit/4 && mem.GetWorkingSetBytes().GetValue() <= mem.GetUsageBytes().GetValue(),
		"usage within the limit":   mem.GetUsageBytes().GetValue() > loadLimit/2 && mem.GetUsageBytes().GetValue() <= loadLimit,
		"available":                mem.GetAvailableBytes().GetValue() == loadLimit-mem.GetWorkingSetBytes().GetValue(),
		"anonymous memory":         mem.GetRssBytes().GetValue() > loadLimit/4 && mem.GetRssBytes().GetValue() <= mem.GetUsageBytes().GetValue(),
		"page faults":              mem.GetPageFaults().GetValue() >= loadHeld/4096/512, // of 2 MB each at most
		"memory pressure":          mem.GetPsi().GetSome().GetTotal() > 0 && mem.GetPsi().GetFull() != nil,
		"swap in use":              swap.GetSwapUsageBytes().GetValue() >= loadHeld-loadLimit && swap.GetSwapUsageBytes().GetValue() <= loadHeld+(8<<20),
		"swap left":                swap.GetSwapAvailableBytes().GetValue() == 200<<20-loadLimit-swap.GetSwapUsageBytes().GetValue(),
		"I/O pressure":             st.GetIo().GetPsi().GetSome().GetTotal() > 0,
		"layer":                    st.GetWritableLayer().GetUsedBytes().GetValue() < 2*loadWritten && st.GetWritableLayer().GetInodesUsed().GetValue() > 0,
	} {
		if !ok {
			t.Errorf("%s: %v", name, st)
		}
	}
	checkPodStats(t, pod, c, idle)
}

// checkPodStats wants the pod to have what its containers have, and more.
func checkPodStats(t *testing.T, pod *daemon.Pod, c, idle *daemon.Container) {
	t.Helper()
	resp, err := shared.Runtime.PodSandboxStats(daemon.Context(t), &runtimeapi.PodSandboxStatsRequest{PodSandboxId: pod.ID})
	if err != nil {
		t.Fatal(err)
	}
	linux := resp.GetStats().GetLinux()
	byID := map[string]*runtimeapi.ContainerStats{}
	for _, st := range linux.GetContainers() {
		byID[st.GetAttributes().GetId()] = st
	}
	load, rest := byID[c.ID], byID[idle.ID]
	if load == nil || rest == nil || len(byID) != 2 {
		t.Fatalf("containers in the pod's stats: %v", linux.GetContainers())
	}
	for name, ok := range map[string]bool{
		"CPU":           linux.GetCpu().GetUsageCoreNanoSeconds().GetValue() >= load.GetCpu().GetUsageCoreNanoSeconds().GetValue()/2,
		"CPU pressure":  linux.GetCpu().GetPsi().GetSome().GetTotal() > 0,
		"memory":        linux.GetMemory().GetUsageBytes().GetValue() > loadLimit/2,
		"processes":     linux.GetProcess().GetProcessCount().GetValue() >= 3,
		"I/O pressure":  linux.GetIo().GetPsi() != nil,
		"network":       linux.GetNetwork().GetDefaultInterface().GetName() == "eth0",
		"idle CPU":      rest.GetCpu().GetUsageCoreNanoSeconds().GetValue() < load.GetCpu().GetUsageCoreNanoSeconds().GetValue(),
		"idle memory":   rest.GetMemory().GetWorkingSetBytes().GetValue() > 0 && rest.GetMemory().GetWorkingSetBytes().GetValue() < 10<<20,
		"idle has none": rest.GetMemory().GetAvailableBytes() == nil,
	} {
		if !ok {
			t.Errorf("%s: %v", name, linux)
		}
	}
}

// TestMetrics looks for the load in what Prometheus gets.
func TestMetrics(t *testing.T) {
	d := use(t)
	pod := d.RunPod(t)
	c := runLoad(t, pod)
	text := scrape(t)
	if !strings.Contains(text, `cgroup_mode="v2"`) || !strings.Contains(text, `cgroup_driver="cgroupfs"`) {
		t.Error("berth_build_info does not say v2 and cgroupfs")
	}
	for family, within := range map[string][2]float64{
		"container_cpu_usage_seconds_total":               {0.05, 1e4},
		"container_cpu_cfs_throttled_seconds_total":       {0.01, 1e4},
		"container_cpu_cfs_throttled_periods_total":       {1, 1e5},
		"container_memory_usage_bytes":                    {loadLimit / 2, loadLimit},
		"container_memory_working_set_bytes":              {loadLimit / 4, loadLimit},
		"container_memory_swap":                           {loadHeld - loadLimit, loadHeld + 8<<20},
		"container_memory_failcnt":                        {1, 1e9},
		"container_memory_max_usage_bytes":                {loadLimit / 2, loadLimit + 1<<20}, // the kernel charges in batches
		"container_spec_memory_limit_bytes":               {loadLimit, loadLimit},
		"container_fs_writes_bytes_total":                 {loadWritten, 1 << 30},
		"container_processes":                             {2, 10},
		"container_pressure_cpu_waiting_seconds_total":    {0.001, 1e4},
		"container_pressure_memory_waiting_seconds_total": {0.001, 1e4},
		"container_pressure_io_waiting_seconds_total":     {0.0001, 1e4},
	} {
		v, ok := sample(text, family, c)
		if !ok || v < within[0] || v > within[1] {
			t.Errorf("%s is %v (found: %v), want something in %v", family, v, ok, within)
		}
	}
	if v, ok := sample(text, "container_oom_events_total", c); !ok || v != 0 {
		t.Errorf("container_oom_events_total %v", v)
	}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "berth_sample_read_failures_total") && !strings.HasSuffix(line, " 0\n") {
			t.Errorf("files of cgroups could not be read: %s", line)
		}
	}
}

func scrape(t *testing.T) string {
	t.Helper()
	resp, err := http.Get("http://" + metricsAddress + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// sample is a container's figure in a family; that of its largest series when it has several.
func sample(text, family string, c *daemon.Container) (value float64, found bool) {
	line := regexp.MustCompile(fmt.Sprintf(`(?m)^%s\{[^}]*%s[^}]*\} (\S+)`, family, c.ID))
	for _, m := range line.FindAllStringSubmatch(text, -1) {
		v, err := strconv.ParseFloat(m[1], 64)
		if err == nil && (!found || v > value) {
			value, found = v, true
		}
	}
	return value, found
}
