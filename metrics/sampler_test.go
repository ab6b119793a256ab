package metrics

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/internal/cgroup"
)

// v2Host copies the v2 fixture into a tree as the cgroups of a pod and a container.
func v2Host(t *testing.T) *cgroup.Host {
	t.Helper()
	root := t.TempDir()
	for _, dir := range []string{"kubepods/p1", "kubepods/p1/c1"} {
		if err := os.CopyFS(filepath.Join(root, dir), os.DirFS("testdata/v2")); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "cgroup.controllers"), []byte("cpuset cpu io memory hugetlb pids\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return &cgroup.Host{Root: root, Driver: cgroup.Cgroupfs, Mode: cgroup.Unified}
}

func setCPU(t *testing.T, h *cgroup.Host, path, usec string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(h.Root, path, "cpu.stat"), []byte("usage_usec "+usec+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

func fixedNetwork(string) ([]Interface, error) {
	return []Interface{{Name: "lo", RxBytes: 1}, {Name: "eth0", RxBytes: 10, RxErrors: 2, TxBytes: 20, TxErrors: 3}, {Name: "net1", RxBytes: 5}}, nil
}

func TestStatsFields(t *testing.T) {
	h := v2Host(t)
	pod := testPod("p1", "/kubepods/p1")
	pod.NetnsPath = "/somewhere"
	src := &listSource{pods: []PodRef{pod}, ctrs: []ContainerRef{testContainer("c1", "p1", "/kubepods/p1/c1")}}
	s := NewSampler(h, src, Options{Network: fixedNetwork})
	ctx := context.Background()

	c, err := s.ContainerStats(ctx, "c1")
	if err != nil {
		t.Fatal(err)
	}
	for name, ok := range map[string]bool{
		"cpu":         c.Cpu.UsageCoreNanoSeconds.Value == 7210345000 && c.Cpu.Timestamp > 0,
		"first rate":  c.Cpu.UsageNanoCores == nil,
		"cpu psi":     c.Cpu.Psi.Some.Total == 5123456000 && c.Cpu.Psi.Some.Avg10 == 1.53 && c.Cpu.Psi.Full.Total == 412345000,
		"working set": c.Memory.WorkingSetBytes.Value == 79691776,
		"available":   c.Memory.AvailableBytes.Value == 268435456-79691776,
		"rss":         c.Memory.RssBytes.Value == 52428800,
		"faults":      c.Memory.PageFaults.Value == 81234 && c.Memory.MajorPageFaults.Value == 56,
		"memory psi":  c.Memory.Psi.Full.Avg300 == 0.07,
		"swap":        c.Swap.SwapUsageBytes.Value == 1048576 && c.Swap.SwapAvailableBytes.Value == 33554432-1048576,
		"io psi":      c.Io.Psi.Some.Total == 98765000,
		"attributes":  c.Attributes.Id == "c1" && c.Attributes.Metadata.Name == "ctr-c1" && c.Attributes.Labels["ctr"] == "c1",
	} {
		if !ok {
			t.Errorf("container %s: %v", name, c)
		}
	}
	p, err := s.PodSandboxStats(ctx, "p1")
	if err != nil {
		t.Fatal(err)
	}
	l := p.Linux
	if l.Cpu == nil || l.Memory == nil || l.Io == nil || l.Process.ProcessCount.Value != 8 || len(l.Containers) != 1 {
		t.Errorf("pod: %v", p)
	}
	n := l.Network
	if n.DefaultInterface.Name != "eth0" || n.DefaultInterface.TxErrors.Value != 3 || len(n.Interfaces) != 1 || n.Interfaces[0].Name != "net1" {
		t.Errorf("network: %v", n)
	}
	if _, err := s.ContainerStats(ctx, "other"); !errors.Is(err, errdefs.ErrNotFound) {
		t.Errorf("unknown container: %v", err)
	}
	if _, err := s.PodSandboxStats(ctx, "other"); !errors.Is(err, errdefs.ErrNotFound) {
		t.Errorf("unknown pod: %v", err)
	}
}

func TestRate(t *testing.T) {
	h := v2Host(t)
	src := &listSource{pods: []PodRef{testPod("p1", "/kubepods/p1")}, ctrs: []ContainerRef{testContainer("c1", "p1", "/kubepods/p1/c1")}}
	s := NewSampler(h, src, Options{MaxAge: time.Nanosecond})
	nano := func() *runtimeapi.UInt64Value {
		c, err := s.ContainerStats(context.Background(), "c1")
		if err != nil {
			t.Fatal(err)
		}
		return c.Cpu.UsageNanoCores
	}
	setCPU(t, h, "kubepods/p1/c1", "1000000")
	start := time.Now()
	nano()
	setCPU(t, h, "kubepods/p1/c1", "1200000")
	time.Sleep(2 * minWindow)
	got := nano()
	window := time.Since(start).Seconds()
	if low := 0.2 / window * 0.8 * 1e9; got == nil || float64(got.Value) < low || float64(got.Value) > 1.01e9 {
		t.Fatalf("0.2 s in %.3f s are %v nanocores", window, got)
	}
	if again := nano(); again == nil || again.Value != got.Value {
		t.Errorf("a pass too soon changes the rate: %v, had %v", again, got)
	}
	setCPU(t, h, "kubepods/p1/c1", "5")
	time.Sleep(2 * minWindow)
	if got := nano(); got != nil {
		t.Errorf("a counter that went back has a rate: %v", got)
	}
}

// Whatever many callers ask at once costs one pass, and so does what they ask within MaxAge.
func TestOnePassForAll(t *testing.T) {
	h := v2Host(t)
	var passes atomic.Int32
	pod := testPod("p1", "/kubepods/p1")
	pod.NetnsPath = "/somewhere"
	src := &listSource{pods: []PodRef{pod}}
	s := NewSampler(h, src, Options{MaxAge: time.Minute, Network: func(string) ([]Interface, error) {
		passes.Add(1)
		time.Sleep(50 * time.Millisecond)
		return nil, nil
	}})
	ask := func() {
		var wg sync.WaitGroup
		for range 8 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				if got := s.ListPodSandboxStats(context.Background(), nil); len(got) < 1 {
					t.Errorf("got %v", got)
				}
			}()
		}
		wg.Wait()
	}
	ask()
	ask()
	if n := passes.Load(); n != 1 {
		t.Errorf("%d passes for 16 calls", n)
	}
	// A container that started since is seen in spite of the cache.
	src.set([]PodRef{pod}, []ContainerRef{testContainer("c1", "p1", "/kubepods/p1/c1")})
	if got := s.ListContainerStats(context.Background(), nil); len(got) != 1 {
		t.Errorf("new container: %v", got)
	}
	src.set([]PodRef{pod}, nil)
	if got := s.ListContainerStats(context.Background(), nil); len(got) != 0 {
		t.Errorf("container that is gone: %v", got)
	}
}

func TestSlowPassDoesNotHoldACaller(t *testing.T) {
	h := v2Host(t)
	pod := testPod("p1", "/kubepods/p1")
	pod.NetnsPath = "/somewhere"
	release := make(chan struct{})
	s := NewSampler(h, &listSource{pods: []PodRef{pod}}, Options{Network: func(string) ([]Interface, error) {
		<-release
		return nil, nil
	}})
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	start := time.Now()
	s.ListPodSandboxStats(ctx, nil)
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("held for %s", d)
	}
	close(release)
	if got := s.ListPodSandboxStats(context.Background(), nil); len(got) != 1 {
		t.Errorf("got %v", got)
	}
}

func TestVanishingAndFilters(t *testing.T) {
	h := v2Host(t)
	broken := testPod("p2", "/kubepods/absent")
	broken.NetnsPath = "/broken"
	stopped := testContainer("c3", "p1", "/kubepods/p1/c1")
	stopped.State = runtimeapi.ContainerState_CONTAINER_EXITED
	src := &listSource{
		pods: []PodRef{testPod("p1", "/kubepods/p1"), broken},
		ctrs: []ContainerRef{testContainer("c1", "p1", "/kubepods/p1/c1"), testContainer("c2", "p2", "/kubepods/absent/c2"), stopped},
	}
	s := NewSampler(h, src, Options{Network: func(string) ([]Interface, error) { return nil, errors.New("no such network") }})
	ctx := context.Background()
	all := decoded[runtimeapi.ContainerStats](t, s.ListContainerStats(ctx, nil))
	if len(all) != 2 || all[0].Cpu == nil || all[1].Attributes.Id != "c2" || all[1].Cpu != nil || all[1].Memory != nil {
		t.Errorf("all: %v", all)
	}
	for name, f := range map[string]*runtimeapi.ContainerStatsFilter{
		"id":    {Id: "c1"},
		"pod":   {PodSandboxId: "p1"},
		"label": {LabelSelector: map[string]string{"ctr": "c1"}},
	} {
		if got := decoded[runtimeapi.ContainerStats](t, s.ListContainerStats(ctx, f)); len(got) != 1 || got[0].Attributes.Id != "c1" {
			t.Errorf("filter by %s: %v", name, got)
		}
	}
	labelled := &runtimeapi.PodSandboxStatsFilter{LabelSelector: map[string]string{"app": "p2"}}
	if got := decoded[runtimeapi.PodSandboxStats](t, s.ListPodSandboxStats(ctx, labelled)); len(got) != 1 ||
		got[0].Linux.Network != nil || got[0].Linux.Cpu != nil {
		t.Errorf("pods: %v", got)
	}
	if c, err := s.ContainerStats(ctx, "c3"); err != nil || c.Cpu != nil || c.Attributes.Id != "c3" {
		t.Errorf("stopped container: %v %v", c, err)
	}
	if n := s.errors.of("network"); n == 0 {
		t.Error("a network that cannot be read is not counted")
	}
}

// Pods with a common parent get the sum of their own containers.
func TestSharedParent(t *testing.T) {
	h := v2Host(t)
	src := &listSource{
		pods: []PodRef{testPod("p1", "/kubepods/p1"), testPod("p2", "/kubepods/p1")},
		ctrs: []ContainerRef{testContainer("c1", "p1", "/kubepods/p1/c1")},
	}
	s := NewSampler(h, src, Options{})
	got := decoded[runtimeapi.PodSandboxStats](t, s.ListPodSandboxStats(context.Background(), nil))
	if len(got) != 2 || got[0].Linux.Memory.GetUsageBytes().GetValue() != 104857600 || got[1].Linux.Memory != nil {
		t.Errorf("got %v", got)
	}
}
