package metrics

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/berth-run/berth/internal/cgroup"
)

// v1Host copies the v1 fixture into a tree as the cgroups of a pod and a container.
func v1Host(t *testing.T) *cgroup.Host {
	t.Helper()
	root := t.TempDir()
	controllers, err := os.ReadDir("testdata/v1")
	if err != nil {
		t.Fatal(err)
	}
	h := &cgroup.Host{Root: root, Driver: cgroup.Cgroupfs, Mode: cgroup.Hybrid, Controllers: map[string]string{}}
	for _, c := range controllers {
		for _, dir := range []string{"kubepods/p1", "kubepods/p1/c1"} {
			if err := os.CopyFS(filepath.Join(root, c.Name(), dir), os.DirFS(filepath.Join("testdata/v1", c.Name()))); err != nil {
				t.Fatal(err)
			}
		}
		h.Controllers[c.Name()] = filepath.Join(root, c.Name())
	}
	return h
}

// TestComplete: a pass of stats, completed, is what one of everything would have been; the
// pass that it was made of is left as it was.
func TestComplete(t *testing.T) {
	for name, host := range map[string]func(*testing.T) *cgroup.Host{"v1": v1Host, "v2": v2Host} {
		t.Run(name, func(t *testing.T) {
			alone := testContainer("c2", "p2", "/kubepods/p1/c1")
			alone.OOMKills = 2
			ended := testContainer("c3", "p1", "")
			ended.State, ended.OOMKills = 2, 5
			src := &listSource{
				pods: []PodRef{testPod("p1", "/kubepods/p1"), testPod("p2", "")}, // p2 has no cgroup of its own
				ctrs: []ContainerRef{testContainer("c1", "p1", "/kubepods/p1/c1"), alone, ended},
			}
			s := NewSampler(host(t), src, Options{Network: fixedNetwork})
			defer s.Close()
			whole := s.measure(&pass{}, everything)
			for _, d := range []depth{containerStats, containerStats | podStats, containerStats | details} {
				part := s.measure(&pass{}, d)
				before := figures(t, part)
				if before == figures(t, whole) {
					t.Fatalf("a pass of depth %b reads everything", d)
				}
				if got, want := figures(t, s.complete(part, everything)), figures(t, whole); got != want {
					t.Errorf("completed from %b:\n%s\nwant\n%s", d, got, want)
				}
				if figures(t, part) != before {
					t.Error("completing a pass changed it")
				}
			}
		})
	}
}

// TestRateAcrossPasses: pods have a rate although a pass in between looked at containers only.
func TestRateAcrossPasses(t *testing.T) {
	h := v2Host(t)
	src := &listSource{
		pods: []PodRef{testPod("p1", "/kubepods/p1")}, ctrs: []ContainerRef{testContainer("c1", "p1", "/kubepods/p1/c1")},
	}
	s := NewSampler(h, src, Options{Network: fixedNetwork})
	defer s.Close()
	setCPU(t, h, "kubepods/p1", "1000000")
	first := s.measure(&pass{}, everything)
	first.pods[0].CPU.At = time.Now().Add(-2 * time.Second)
	between := s.measure(first, containerStats)
	if between.pods[0].CPU != nil {
		t.Fatal("a pass of containers reads pods")
	}
	setCPU(t, h, "kubepods/p1", "2000000")
	if rate := s.complete(between, everything).pods[0].nanoCores; rate == nil || *rate < 450e6 || *rate > 510e6 {
		t.Errorf("rate %v, want half a core", rate)
	}
}

// TestDepthUnderChurn: whoever asks for everything gets everything, also while others ask for
// less and the pods change all the time.
func TestDepthUnderChurn(t *testing.T) {
	h := v2Host(t)
	pods := []PodRef{testPod("p1", "/kubepods/p1")}
	one := []ContainerRef{testContainer("c1", "p1", "/kubepods/p1/c1")}
	two := append(one[:1:1], testContainer("c2", "p1", ""))
	src := &listSource{pods: pods, ctrs: one}
	s := NewSampler(h, src, Options{Network: fixedNetwork, MaxAge: time.Millisecond})
	defer s.Close()
	ctx, stop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for _, d := range []depth{containerStats, containerStats | podStats} {
		all.Go(func() {
			for ctx.Err() == nil {
				s.sample(ctx, d)
			}
		})
	}
	all.Go(func() {
		for ctx.Err() == nil {
			src.set(pods, two)
			src.set(pods, one)
		}
	})
	for range 200 {
		p := s.sample(ctx, everything)
		if c := p.ctrByID["c1"]; c == nil || c.Memory.Peak == 0 || p.podByID["p1"].Memory == nil {
			t.Fatalf("a pass of depth %b was handed out as one of everything", p.depth)
		}
	}
	stop()
	all.Wait()
	src.set(pods, two)
	s.measureNow(containerStats)
	// Nothing, or everything where the pass was quicker than the caller.
	if p := s.sample(ctx, everything); len(p.ctrByID) != 0 && p.depth != everything {
		t.Errorf("somebody in a hurry got a pass of depth %b", p.depth)
	}
}

// measureNow puts a pass of some depth in the place of the newest, after the one under way:
// there is only one at a time, and it outlives callers that gave up.
func (s *Sampler) measureNow(d depth) {
	s.mu.Lock()
	for s.running != nil {
		running := s.running
		s.mu.Unlock()
		<-running
		s.mu.Lock()
	}
	prev, done := s.last, make(chan struct{})
	s.running = done
	s.mu.Unlock()
	s.run(func(prev *pass) *pass { return s.measure(prev, d) }, prev, done)
}

// figures shows the figures of a pass.
func figures(t *testing.T, p *pass) string {
	t.Helper()
	out := map[string]any{}
	for _, pod := range p.pods {
		out[pod.ref.ID] = []any{pod.Sample, pod.slow.limits, pod.interfaces}
	}
	for _, c := range p.containers {
		out[c.ref.ID] = []any{c.Sample, c.slow.limits}
	}
	b, err := json.MarshalIndent(out, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestOnePass: whoever asks for stats and whoever asks for everything, within the age that
// is allowed, get the same figures.
func TestOnePass(t *testing.T) {
	h := v2Host(t)
	src := &listSource{
		pods: []PodRef{testPod("p1", "/kubepods/p1")}, ctrs: []ContainerRef{testContainer("c1", "p1", "/kubepods/p1/c1")},
	}
	s := NewSampler(h, src, Options{Network: fixedNetwork, MaxAge: time.Minute})
	defer s.Close()
	ctx := context.Background()
	st, err := s.ContainerStats(ctx, "c1")
	if err != nil {
		t.Fatal(err)
	}
	setCPU(t, h, "kubepods/p1/c1", "99")
	all := s.sample(ctx, everything)
	c := all.ctrByID["c1"]
	if c.CPU.Usage != st.Cpu.UsageCoreNanoSeconds.Value || c.CPU.At.UnixNano() != st.Cpu.Timestamp {
		t.Errorf("stats say %v, everything %+v", st.Cpu, c.CPU)
	}
	if c.Pids.Threads == 0 || c.Memory.Peak == 0 || len(c.IO) == 0 {
		t.Errorf("not everything: %+v %+v %+v", c.Pids, c.Memory, c.IO)
	}
	if s.sample(ctx, containerStats) != all || s.sample(ctx, everything) != all {
		t.Error("what was measured is measured again")
	}
}
