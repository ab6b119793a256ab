package cgroup

import (
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
)

func TestPrimer(t *testing.T) {
	const grace = 5 * time.Millisecond
	var taken []time.Duration
	var fail error
	primer := func() *Primer {
		began := time.Now()
		taken = nil
		return &Primer{take: func() error {
			taken = append(taken, time.Since(began))
			if len(taken) == 1 {
				time.Sleep(grace)
			}
			return fail
		}}
	}
	for name, c := range map[string]struct {
		fail error
		do   func(p *Primer)
		want int
	}{
		"held for as long as it takes":   {nil, func(p *Primer) { release := p.Hold(); time.Sleep(23 * time.Millisecond); release(); release() }, 4},
		"a short hold takes it once":     {nil, func(p *Primer) { p.Hold()() }, 1},
		"two holders take it no oftener": {nil, func(p *Primer) { a, b := p.Hold(), p.Hold(); a(); time.Sleep(23 * time.Millisecond); b() }, 4},
		"held again":                     {nil, func(p *Primer) { p.Hold()(); time.Sleep(time.Second); p.Hold()() }, 2},
		"a forgotten hold ends":          {nil, func(p *Primer) { p.Hold() }, 400},
		"no cgroup to write to":          {os.ErrPermission, func(p *Primer) { release := p.Hold(); time.Sleep(time.Second); release() }, 1},
		"nobody's":                       {nil, func(*Primer) { (*Primer)(nil).Hold()() }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fail = c.fail
				c.do(primer())
				time.Sleep(time.Minute)
			})
			if len(taken) != c.want {
				t.Errorf("taken %d times, want %d: %v", len(taken), c.want, taken)
			}
		})
	}
}

func TestPlainest(t *testing.T) {
	v1 := map[string]string{"cpu": "/c/cpu,cpuacct", "memory": "/c/memory", "pids": "/c/pids", "name=systemd": "/c/systemd"}
	for name, c := range map[string]struct {
		host Host
		text string
		want string
	}{
		"v2":                   {Host{Root: "/c", Mode: Unified}, "0::/system.slice/berth.service\n", "/c/system.slice/berth.service"},
		"hybrid":               {Host{Root: "/c", Mode: Hybrid, Controllers: v1}, "9:memory:/m\n2:cpu,cpuacct:/\n1:name=systemd:/s\n0::/u\n", "/c/unified/u"},
		"v1":                   {Host{Root: "/c", Mode: Legacy, Controllers: v1}, "9:memory:/m\n3:pids:/p\n1:name=systemd:/s\n0::/\n", "/c/systemd/s"},
		"v1 without systemd":   {Host{Root: "/c", Mode: Legacy, Controllers: map[string]string{"memory": "/c/memory"}}, "9:memory:/m\n1:name=systemd:/s\n", "/c/memory/m"},
		"nothing that we know": {Host{Root: "/c", Mode: Legacy, Controllers: v1}, "7:rdma:/\n", ""},
		"nonsense":             {Host{Root: "/c", Mode: Unified}, "what\n", ""},
	} {
		got, err := c.host.plainest(c.text)
		if got != c.want || (c.want == "") != errors.Is(err, errdefs.ErrNotFound) {
			t.Errorf("%s: %q, %v; want %q", name, got, err, c.want)
		}
	}
}

// On this machine, whatever its layout: this process stays where it is.
func TestStay(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("writes to cgroups: needs root")
	}
	h, err := Detect("")
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.stay(); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile("/proc/self/cgroup")
	if err != nil || string(after) != string(before) {
		t.Errorf("moved from %s to %s (%v)", before, after, err)
	}
}

func BenchmarkStay(b *testing.B) {
	h, err := Detect("")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := h.stay(); err != nil {
			b.Skip(err)
		}
	}
}
