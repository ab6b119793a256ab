package metrics

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-run/berth/internal/cgroup"
)

// oneContainer is a sampler of one container in a pod, and a way to write the files of both.
func oneContainer(t *testing.T, h *cgroup.Host) (*Sampler, func(dir, file, content string)) {
	t.Helper()
	s := NewSampler(h, &listSource{
		pods: []PodRef{testPod("p1", "/kubepods/p1")}, ctrs: []ContainerRef{testContainer("c1", "p1", "/kubepods/p1/c1")},
	}, Options{Network: fixedNetwork})
	t.Cleanup(s.Close)
	return s, func(dir, file, content string) {
		t.Helper()
		path := filepath.Join(h.Root, dir, file)
		if _, err := os.Stat(path); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestStill: what only running code changes is read again when something ran, held other
// memory, or a minute went by; the rest at every pass.
func TestStill(t *testing.T) {
	const c1 = "kubepods/p1/c1"
	type where struct{ cpu, memory, events, usage string }
	for name, x := range map[string]struct {
		host *cgroup.Host
		where
		kills string
	}{
		"v1": {v1Host(t), where{"cpuacct/" + c1 + "/cpuacct.usage", "memory/" + c1 + "/memory.usage_in_bytes",
			"memory/" + c1 + "/memory.oom_control", "123456789"}, "oom_kill 77"},
		"v2": {v2Host(t), where{c1 + "/cpu.stat", c1 + "/memory.current", c1 + "/memory.events", "usage_usec 123456789"}, "oom_kill 77"},
	} {
		t.Run(name, func(t *testing.T) {
			s, write := oneContainer(t, x.host)
			last := s.measure(&pass{}, everything)
			first := last.containers[0].Sample
			again := func(d depth) *containerSample {
				last = s.measure(last, d)
				return last.containers[0]
			}
			write("", x.events, x.kills)
			c := again(everything)
			if c.Memory.OOMKills != first.Memory.OOMKills || c.Pids == nil || *c.Pids != *first.Pids || len(c.Hugetlb) == 0 {
				t.Errorf("nothing ran, and there is %+v %+v", c.Memory, c.Pids)
			}
			if c.Memory.Peak == 0 || c.CPU.User == 0 || c.CPU.Periods != first.CPU.Periods || c.Pressure == nil || len(c.IO) != len(first.IO) {
				t.Errorf("not all: %+v", c.Sample)
			}
			write("", x.cpu, x.usage)
			if c := again(containerStats); c.Memory.OOMKills != 0 || c.Memory.Peak != 0 {
				t.Errorf("stats have details: %+v", c.Memory)
			}
			if c := again(everything); c.Memory.OOMKills != 77 {
				t.Errorf("something ran, and there are %d kills", c.Memory.OOMKills)
			}
			write("", x.events, "oom_kill 78")
			write("", x.memory, "4096")
			write("", strings.Replace(x.memory, "/c1", "", 1), "4096")
			if c := again(everything); c.Memory.OOMKills != 78 {
				t.Errorf("memory changed, and there are %d kills", c.Memory.OOMKills)
			}
			write("", x.events, "oom_kill 79")
			last.containers[0].group.still.at[keepLong] = time.Now().Add(-stillAge)
			if c := again(everything); c.Memory.OOMKills != 79 {
				t.Errorf("after a minute there are %d kills", c.Memory.OOMKills)
			}
		})
	}
}

// TestStillNotKept: what could not be read is read again.
func TestStillNotKept(t *testing.T) {
	s, write := oneContainer(t, v2Host(t))
	const events = "kubepods/p1/c1/memory.events"
	write("", events, "oom_kill many")
	last := s.measure(&pass{}, everything)
	write("", events, "oom_kill 3")
	if got := s.measure(last, everything).containers[0].Memory.OOMKills; got != 3 {
		t.Errorf("%d kills", got)
	}
}

// TestProcesses: a pod has those of its containers and below, its own, and those of cgroups that
// are nobody's, at every depth that shows them.
func TestProcesses(t *testing.T) {
	lines := func(n int) string { return strings.TrimSpace(strings.Repeat("1\n", n)) }
	for _, d := range []depth{containerStats | podStats, everything} {
		s, write := oneContainer(t, v2Host(t))
		write("kubepods/p1", "cgroup.procs", lines(2))
		write("kubepods/p1/c1", "cgroup.procs", lines(5))
		// The fixture has a cgroup below, which in the pod would be a stranger already.
		if err := os.RemoveAll(filepath.Join(s.host.Root, "kubepods/p1/sub")); err != nil {
			t.Fatal(err)
		}
		p := s.measure(&pass{}, d)
		if p.pods[0].outside == nil || p.pods[0].outside.below != 1 {
			t.Errorf("below the pod: %+v", p.pods[0].outside)
		}
		if pod, c := p.pods[0].Pids.Processes, p.containers[0].Pids.Processes; pod != 8 || c != 6 {
			t.Errorf("%d processes in the pod, %d in its container; want 8 and 6", pod, c)
		}
		stranger := filepath.Join(s.host.Root, "kubepods/p1/stranger")
		if err := os.CopyFS(stranger, os.DirFS("testdata/v2")); err != nil {
			t.Fatal(err)
		}
		write("kubepods/p1/stranger", "cgroup.procs", lines(3))
		setCPU(t, s.host, "kubepods/p1", "999999999")
		if got := s.measure(p, d).pods[0].Pids.Processes; got != 12 {
			t.Errorf("%d processes, want 12", got)
		}
	}
}

// TestSingleThread needs no list of processes.
func TestSingleThread(t *testing.T) {
	s, write := oneContainer(t, v2Host(t))
	write("kubepods/p1/c1", "pids.current", "1")
	c := s.measure(&pass{}, everything).containers[0]
	if c.Pids.Processes != 1 || c.Pids.Threads != 1 {
		t.Errorf("%+v", c.Pids)
	}
}

// TestForkBetweenPasses: what a container forks after its figures were read, and before its
// pod's, is in the pod's with the next pass.
func TestForkBetweenPasses(t *testing.T) {
	h := v2Host(t)
	s, write := oneContainer(t, h)
	if err := os.RemoveAll(filepath.Join(h.Root, "kubepods/p1/sub")); err != nil {
		t.Fatal(err)
	}
	first := s.measure(s.measure(&pass{}, everything), containerStats)
	had := first.containers[0].group.processes.own
	write("kubepods/p1/c1", "cgroup.procs", "1\n2\n3\n4\n5\n6")
	setCPU(t, h, "kubepods/p1", "999999999")
	pods := s.complete(first, everything)
	if n := pods.containers[0].Pids.Processes; n != had {
		t.Fatalf("a completed pass has %d processes, was %d", n, had)
	}
	setCPU(t, h, "kubepods/p1/c1", "999999999")
	last := s.measure(pods, everything)
	c, pod := last.containers[0].Pids.Processes, last.pods[0].Pids.Processes
	if c != 7 || pod != 10 { // one below the container, three of the pod's own
		t.Errorf("%d processes in the container, %d in the pod", c, pod)
	}
}

// TestNoPidsController: a count of processes is all there is, in every pass.
func TestNoPidsController(t *testing.T) {
	h := v2Host(t)
	s, _ := oneContainer(t, h)
	for _, dir := range []string{"kubepods/p1", "kubepods/p1/c1"} {
		for _, file := range []string{"pids.current", "pids.max"} {
			if err := os.Remove(filepath.Join(h.Root, dir, file)); err != nil {
				t.Fatal(err)
			}
		}
	}
	last := &pass{}
	for n := range 3 {
		last = s.measure(last, everything)
		if p := last.containers[0].Pids; p == nil || !p.Alone || p.Processes == 0 {
			t.Errorf("pass %d: %+v", n, p)
		}
		if p := last.pods[0].Pids; p == nil || !p.Alone || p.Processes == 0 {
			t.Errorf("pass %d, pod: %+v", n, p)
		}
	}
}

// TestLimitsWhileStill: what others change is renewed before long although nothing runs.
func TestLimitsWhileStill(t *testing.T) {
	s, write := oneContainer(t, v2Host(t))
	last := s.measure(&pass{}, everything)
	write("kubepods/p1/c1", "pids.max", "77")
	last.containers[0].group.still.at[keepSoon] = time.Now().Add(-slowAge)
	if got := s.measure(last, everything).containers[0].Pids.Limit; got != 77 {
		t.Errorf("limit %d", got)
	}
}

// TestCompletedWhileStill: a stats pass of a container that does nothing, completed, is what one
// of everything would have been.
func TestCompletedWhileStill(t *testing.T) {
	for name, h := range map[string]*cgroup.Host{"v1": v1Host(t), "v2": v2Host(t)} {
		s, _ := oneContainer(t, h)
		whole := s.measure(&pass{}, everything)
		for _, d := range []depth{containerStats, containerStats | podStats} {
			if got, want := figures(t, s.complete(s.measure(whole, d), everything)), figures(t, whole); got != want {
				t.Errorf("%s from %b:\n%s\nwant\n%s", name, d, got, want)
			}
		}
	}
}

// TestIdleLayer: a layer is measured again when something ran since that began.
func TestIdleLayer(t *testing.T) {
	h := v2Host(t)
	measured := make(chan struct{}, 10)
	usage := NewUsageCache(func(context.Context, string, string) (uint64, uint64, error) {
		measured <- struct{}{}
		return 1, 1, nil
	}, UsageOptions{MaxAge: time.Nanosecond})
	defer usage.Close()
	s := NewSampler(h, &listSource{
		pods: []PodRef{testPod("p1", "/kubepods/p1")}, ctrs: []ContainerRef{testContainer("c1", "p1", "/kubepods/p1/c1")},
	}, Options{Network: fixedNetwork, Usage: usage})
	defer s.Close()
	last := s.measure(&pass{}, containerStats)
	<-measured
	for last.containers[0].layer == nil {
		last = s.measure(last, containerStats)
	}
	for range 5 {
		last = s.measure(last, containerStats)
	}
	if n := len(measured); n != 0 {
		t.Errorf("measured %d times although nothing ran", n)
	}
	setCPU(t, h, "kubepods/p1/c1", "999999999")
	s.measure(last, containerStats)
	<-measured
}

// TestIdleDisks: on v1 there is nothing to look for on disks where nothing runs.
func TestIdleDisks(t *testing.T) {
	g := v1Group()
	s := &Sample{CPU: &CPU{Usage: 1}}
	g.see(s.CPU, time.Now())
	g.noIO = time.Now().Add(-2 * slowAge)
	g.ran = g.noIO.Add(-time.Second)
	if err := readIO(&files{}, g, s); err != nil || s.IO != nil {
		t.Errorf("%v %v", s.IO, err)
	}
	s.CPU.Usage++
	g.see(s.CPU, time.Now())
	if err := readIO(&files{}, g, s); err != nil || s.IO == nil {
		t.Errorf("something ran, and there is %v, %v", s.IO, err)
	}
}
