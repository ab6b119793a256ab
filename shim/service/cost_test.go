package service_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/berth-run/berth/shim"
)

// TestIdleCost prints what an idle shim with one container costs. It is a measurement more than a
// test, but a shim that is busy when idle fails.
func TestIdleCost(t *testing.T) {
	if os.Getenv("BERTH_SHIM_COST") == "" {
		t.Skip("set BERTH_SHIM_COST to measure")
	}
	h := newHost(t)
	pods := make([]*pod, 3)
	for i := range pods {
		pods[i] = h.newPod()
		pods[i].newCtr("sleep 600", shim.IOConfig{}).start()
	}
	time.Sleep(12 * time.Second)
	pid := pods[0].proc.PID()
	before := cpuTicks(t, pid)
	switched := switchesOf(t, pid)
	time.Sleep(10 * time.Second)
	t.Logf("CPU in 10 s: %d ticks, %d context switches", cpuTicks(t, pid)-before, switchesOf(t, pid)-switched)
	for _, p := range pods {
		rollup, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", p.proc.PID()))
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for line := range strings.Lines(string(rollup)) {
			if f := strings.Fields(line); len(f) == 3 && strings.Contains("Rss: Pss: Pss_Anon: Pss_File: Private_Dirty: Private_Clean:", f[0]) {
				out = append(out, f[0]+f[1])
			}
		}
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", p.proc.PID()))
		t.Logf("%s kB, %d threads, %d fds", strings.Join(out, " "), len(tasks), fds(t, p.proc.PID()))
	}
}

// switchesOf sums the context switches of all threads.
func switchesOf(t *testing.T, pid int) (n int) {
	t.Helper()
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	for _, path := range tasks {
		data, _ := os.ReadFile(path)
		for line := range strings.Lines(string(data)) {
			if f := strings.Fields(line); len(f) == 2 && strings.HasSuffix(f[0], "ctxt_switches:") {
				v, _ := strconv.Atoi(f[1])
				n += v
			}
		}
	}
	return n
}

func cpuTicks(t *testing.T, pid int) int {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(data)[strings.LastIndexByte(string(data), ')')+1:])
	u, _ := strconv.Atoi(f[11])
	s, _ := strconv.Atoi(f[12])
	return u + s
}

// TestLogThroughput prints what logging 1 GiB costs.
func TestLogThroughput(t *testing.T) {
	if os.Getenv("BERTH_SHIM_COST") == "" {
		t.Skip("set BERTH_SHIM_COST to measure")
	}
	h := newHost(t)
	p := h.newPod()
	k := p.newCtr("yes 123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789 | head -c 1073741824", shim.IOConfig{})
	before, begin := cpuTicks(t, p.proc.PID()), time.Now()
	k.start()
	r := k.wait(5 * time.Minute)
	took, cpu := time.Since(begin), float64(cpuTicks(t, p.proc.PID())-before)/100
	if r.LogBytes != 1<<30 {
		t.Errorf("record %+v", r)
	}
	t.Logf("1 GiB in %v, %.2f s of CPU in the shim: %.0f MiB per CPU second", took.Round(time.Millisecond), cpu, 1024/cpu)
}
