package metrics

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/internal/cgroup"
)

// burnEnv makes the test binary a load: it holds held bytes and spins.
const (
	burnEnv = "BERTH_TEST_BURN"
	held    = 64 << 20
)

func TestMain(m *testing.M) {
	if os.Getenv(burnEnv) != "" {
		burn()
	}
	os.Exit(m.Run())
}

func burn() {
	// Begins when it was moved into its cgroup, so that all is charged there.
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	mem := make([]byte, held)
	for i := 0; i < len(mem); i += 4096 {
		mem[i] = 1
	}
	fmt.Println("held")
	runtime.LockOSThread()
	for {
		mem[0]++
	}
}

// A load of known size shows up as such, in the container, its pod and the metrics.
func TestRealLoad(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to make cgroups")
	}
	h, err := cgroup.Detect("cgroupfs")
	if err != nil {
		t.Skip(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	parent, _, err := h.PodParent("", "metricstest"+strconv.Itoa(os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.RemovePod(context.Background(), parent); err != nil {
			t.Error(err)
		}
	})
	if err := h.EnsurePod(ctx, parent); err != nil {
		t.Fatal(err)
	}
	half := &runtimeapi.LinuxContainerResources{CpuQuota: 5000, CpuPeriod: 10000, MemoryLimitInBytes: 512 << 20}
	if err := h.UpdatePod(ctx, parent, half, nil); err != nil {
		t.Fatal(err)
	}
	startLoad(t, h.Resolve(parent))

	// The "container" is the pod's own cgroup: who makes containers is not of interest here.
	src := &listSource{pods: []PodRef{testPod("p1", parent)}, ctrs: []ContainerRef{testContainer("c1", "p1", parent)}}
	s := NewSampler(h, src, Options{MaxAge: 200 * time.Millisecond})
	time.Sleep(300 * time.Millisecond)
	if _, err := s.ContainerStats(ctx, "c1"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(1500 * time.Millisecond)
	st, err := s.ContainerStats(ctx, "c1")
	if err != nil {
		t.Fatal(err)
	}
	c := s.sample(ctx, everything).ctrByID["c1"]
	nano := st.Cpu.GetUsageNanoCores().GetValue()
	for name, ok := range map[string]bool{
		// Others may keep the processors busy, so less than half a core is possible, but not nothing.
		"half a core": nano > 10e6 && nano < 560e6,
		// One that never gets its half is hardly held up.
		"throttled": c.CPU.Throttled > 0 && c.CPU.Periods >= c.CPU.Throttled,
		// The race detector keeps as much again and more for its own use.
		"memory held": st.Memory.RssBytes.Value >= held && st.Memory.RssBytes.Value < 4*held,
		"working set": st.Memory.WorkingSetBytes.Value >= held && st.Memory.WorkingSetBytes.Value <= st.Memory.UsageBytes.Value,
		"available":   st.Memory.AvailableBytes.GetValue() == 512<<20-st.Memory.WorkingSetBytes.Value,
		"faults":      st.Memory.PageFaults.Value >= held/4096/512,
		"one process": c.Pids.Processes == 1 && c.Pids.Threads > 1,
	} {
		if !ok {
			t.Errorf("%s: %v %+v %+v", name, st, c.CPU, c.Pids)
		}
	}
	if _, err := os.Stat("/proc/pressure/cpu"); err == nil && h.Mode != cgroup.Legacy {
		if st.Cpu.GetPsi().GetSome().GetTotal() == 0 {
			t.Errorf("a throttled process has no CPU pressure: %v", st.Cpu)
		}
	}
	for _, r := range s.readers {
		if n := s.errors.of(r.name); n > 0 {
			t.Errorf("%s: %d read failures", r.name, n)
		}
	}
}

func startLoad(t *testing.T, dirs cgroup.Paths) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), burnEnv+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for c, dir := range dirs {
		err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(cmd.Process.Pid)), 0)
		if err != nil && c != "devices" {
			t.Fatal(err)
		}
	}
	if _, err := in.Write([]byte("go\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil { // until it holds its memory
		t.Fatal(err)
	}
}

// BenchmarkPass measures a full node: 120 pods with 2 containers each, in real cgroups.
func BenchmarkPass(b *testing.B) {
	h, err := cgroup.Detect("cgroupfs")
	if err != nil || os.Getuid() != 0 {
		b.Skip("needs root and cgroups", err)
	}
	ctx := context.Background()
	src := &listSource{}
	for i := range 120 {
		parent, _, err := h.PodParent("", "bench"+strconv.Itoa(os.Getpid())+"-"+strconv.Itoa(i))
		if err != nil {
			b.Fatal(err)
		}
		if err := h.EnsurePod(ctx, parent); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = h.RemovePod(ctx, parent) })
		pod := testPod(strconv.Itoa(i), parent)
		src.pods = append(src.pods, pod)
		for _, name := range []string{"a", "b"} {
			for _, dir := range h.Resolve(parent) {
				_ = os.Mkdir(filepath.Join(dir, name), 0o755)
			}
			src.ctrs = append(src.ctrs, testContainer(pod.ID+name, pod.ID, parent+"/"+name))
		}
	}
	s := NewSampler(h, src, Options{})
	b.Cleanup(s.Close)
	last := s.measure(&pass{}, everything)
	b.Run("measure", func(b *testing.B) {
		for b.Loop() {
			last = s.measure(last, everything)
		}
	})
	b.Run("stats", func(b *testing.B) {
		for b.Loop() {
			s.measure(last, containerStats)
		}
	})
	b.Run("text", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var n countWriter
			if err := last.encode(&n, s.families, formText.encoder()); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(n))
		}
	})
	b.Run("cri", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			b.SetBytes(int64(len(last.encodeCRI(s.families).data)))
		}
	})
	b.Run("gzip", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			last.rendered.gz = nil
			d, err := last.deflate(formText, s.families, time.Hour)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(len(d.data)), "out-bytes")
		}
	})
}

type countWriter int

func (c *countWriter) Write(b []byte) (int, error) { *c += countWriter(len(b)); return len(b), nil }

// BenchmarkRegistry measures what of a scrape is not the containers'.
func BenchmarkRegistry(b *testing.B) {
	m := New(Build{})
	for _, op := range []string{"RunPodSandbox", "CreateContainer", "StartContainer", "StopContainer", "StopPodSandbox"} {
		for _, stage := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
			for i := range 1000 {
				m.Stages.Observe(context.Background(), op, stage, time.Duration(i)*time.Millisecond, nil)
			}
		}
	}
	e := newExposition(m)
	b.ReportAllocs()
	for b.Loop() {
		own, err := e.gather(expfmt.NewFormat(expfmt.TypeTextPlain))
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(len(own)))
	}
}
