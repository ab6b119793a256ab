package metrics

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/berth-run/berth/internal/cgroup"
)

// basicFiles are those of what quiet containers are not asked for, of the container c1.
type basicFiles struct{ cpu, memory, stat, limit, ran, rss string }

func quietHosts(t *testing.T) map[string]struct {
	host *cgroup.Host
	basicFiles
} {
	const c1 = "kubepods/p1/c1"
	return map[string]struct {
		host *cgroup.Host
		basicFiles
	}{
		"v1": {v1Host(t), basicFiles{"cpuacct/" + c1 + "/cpuacct.usage", "memory/" + c1 + "/memory.usage_in_bytes",
			"memory/" + c1 + "/memory.stat", "memory/" + c1 + "/memory.limit_in_bytes", "", "total_rss "}},
		"v2": {v2Host(t), basicFiles{c1 + "/cpu.stat", c1 + "/memory.current", c1 + "/memory.stat", c1 + "/memory.max", "usage_usec ", "anon "}},
	}
}

// settle makes it long ago that something ran in the cgroups of a pass.
func settle(p *pass) {
	groups := []*group{p.pods[0].group}
	for _, c := range p.containers {
		groups = append(groups, c.group)
	}
	for _, g := range groups {
		g.ran, g.moved = g.ran.Add(-2*settleAge), g.moved.Add(-2*settleAge)
	}
}

// TestQuiet: a container is not asked for what its pod's figures imply, and is as soon as they do not.
func TestQuiet(t *testing.T) {
	ofPod := func(file string) string { return strings.Replace(file, "/c1", "", 1) }
	for name, x := range quietHosts(t) {
		t.Run(name, func(t *testing.T) {
			s, write := oneContainer(t, x.host)
			const d = containerStats | podStats
			last := s.measure(&pass{}, d)
			again := func(d depth) *containerSample {
				last = s.measure(last, d)
				return last.containers[0]
			}
			settle(last)
			c := again(d)
			at, usage, held, limit := c.CPU.At, c.CPU.Usage, c.Memory.Usage, c.Memory.Limit
			// Kernels do not do this: nothing changes in a container alone.
			write("", x.cpu, x.ran+"777000")
			write("", x.memory, "8192")
			write("", x.stat, x.rss+"4096")
			c = again(d)
			if c.CPU.Usage != usage || c.Memory.Usage != held || c.Memory.RSS == 4096 || c.Memory.Limit != limit {
				t.Errorf("it was asked although its pod did nothing: %+v %+v", c.CPU, c.Memory)
			}
			if !c.CPU.At.After(at) || c.Pressure == nil {
				t.Errorf("at %v, after %v: %+v", c.CPU.At, at, c.Pressure)
			}
			write("", x.limit, "33554432")
			last.containers[0].group.memoryLimits.at = time.Now().Add(-limitAge)
			if c := again(d); c.Memory.Usage != held || c.Memory.Limit != 32<<20 {
				t.Errorf("with another limit: %+v", c.Memory)
			}
			if c := again(containerStats); c.Memory.Usage != 8192 || c.Memory.RSS != 4096 {
				t.Errorf("without its pod's figures: %+v", c.Memory)
			}
			for what, change := range map[string]func(){
				"its pod holds more memory":   func() { write("", ofPod(x.memory), "99999") },
				"something ran in its pod":    func() { write("", ofPod(x.cpu), x.ran+"999000") },
				"the figures are old":         func() { last.containers[0].group.basics.at = time.Now().Add(-stillAge) },
				"its cgroup is in no pod's":   func() { last.pods[0].group.dir("memory").path += "x" },
				"its pod's cgroup was closed": func() { last.pods[0].group.close(s.handles) },
			} {
				again(d)
				again(d)
				write("", x.memory, "12288")
				if c := again(d); c.Memory.Usage == 12288 {
					t.Fatalf("before %s: %+v", what, c.Memory)
				}
				change()
				if c := again(d); c.Memory.Usage != 12288 {
					t.Errorf("%s: %+v", what, c.Memory)
				}
				last.pods[0].group.dir("memory").path = strings.TrimSuffix(last.pods[0].group.dir("memory").path, "x")
				write("", x.memory, "8192")
				last.containers[0].group.close(s.handles)
			}
		})
	}
}

// TestSameMemory: what memory is made of is not read again while nothing runs and it is as much, for
// ten seconds.
func TestSameMemory(t *testing.T) {
	for name, x := range quietHosts(t) {
		t.Run(name, func(t *testing.T) {
			s, write := oneContainer(t, x.host)
			last := s.measure(&pass{}, containerStats)
			again := func() *Memory {
				last = s.measure(last, containerStats)
				return last.containers[0].Memory
			}
			write("", x.stat, x.rss+"1024")
			if got := again(); got.RSS != 1024 {
				t.Errorf("right after something ran: %+v", got)
			}
			settle(last)
			first := *again()
			write("", x.stat, x.rss+"4096")
			write("", x.limit, "33554432")
			if got := *again(); got != first {
				t.Errorf("it was read again: %+v instead of %+v", got, first)
			}
			last.containers[0].group.memoryLimits.at = time.Time{}
			if got := again(); got.RSS != first.RSS || got.Limit != 32<<20 {
				t.Errorf("with another limit: %+v", got)
			}
			write("", x.cpu, x.ran+"777000")
			if got := again(); got.RSS != 4096 || got.WorkingSet != got.Usage {
				t.Errorf("something ran, and there is %+v", got)
			}
			write("", x.stat, x.rss+"8192")
			write("", x.memory, "12288")
			if got := again(); got.RSS != 8192 || got.Usage != 12288 {
				t.Errorf("there is other memory, and %+v", got)
			}
			write("", x.stat, x.rss+"many")
			if got := again(); got != nil {
				t.Errorf("of nonsense: %+v", got)
			}
			write("", x.stat, x.rss+"16384")
			if got := again(); got == nil || got.RSS != 16384 {
				t.Errorf("after nonsense: %+v", got)
			}
		})
	}
}

// TestSameMemoryAge: what memory is made of is renewed after ten seconds, or a minute where there is hardly any
// page cache, also of a container that need not be asked how much it is.
func TestSameMemoryAge(t *testing.T) {
	for name, x := range quietHosts(t) {
		t.Run(name, func(t *testing.T) {
			s, write := oneContainer(t, x.host)
			const d = containerStats | podStats
			last := s.measure(s.measure(&pass{}, d), d)
			settle(last)
			last = s.measure(last, d)
			g := last.containers[0].group
			write("", x.memory, "8192")
			for _, step := range []struct {
				cache uint64
				age   time.Duration
				rss   string
				read  bool
			}{
				{littleCache, slowAge - time.Second, "4096", false}, {littleCache, slowAge, "8192", true},
				{littleCache - 1, slowAge, "12288", false}, {littleCache - 1, stillAge, "16384", true},
			} {
				write("", x.stat, x.rss+step.rss)
				g.basics.memory.Cache, g.basics.stat = step.cache, time.Now().Add(-step.age)
				settle(last)
				m := s.measure(last, d).containers[0].Memory
				if (strconv.FormatUint(m.RSS, 10) == step.rss) != step.read || m.Usage == 8192 {
					t.Errorf("%+v: %+v", step, m)
				}
			}
		})
	}
}
