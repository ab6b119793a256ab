package cgroup

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
)

func TestPrimer(t *testing.T) {
	const grace = 7 * time.Millisecond // taken at 0, 10.5, 14, 17.5, 21, …
	var taken []time.Duration
	var fail error
	primer := func() *Primer {
		began := time.Now()
		taken = nil
		return &Primer{write: func() error {
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
		"held for as long as it takes":   {nil, func(p *Primer) { release := p.Hold(); time.Sleep(23 * time.Millisecond); release(); release() }, 5},
		"a short hold takes it once":     {nil, func(p *Primer) { p.Hold()() }, 1},
		"two holders take it no oftener": {nil, func(p *Primer) { a, b := p.Hold(), p.Hold(); a(); time.Sleep(23 * time.Millisecond); b() }, 5},
		"held again":                     {nil, func(p *Primer) { p.Hold()(); time.Sleep(time.Second); p.Hold()() }, 2},
		"a forgotten hold ends":          {nil, func(p *Primer) { p.Hold() }, 284},
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

// TestPrimerPause: how soon the lock is taken again follows from the longest wait for it.
func TestPrimerPause(t *testing.T) {
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		waits []time.Duration
		want  time.Duration
	}{
		"no wait yet":         {nil, primeLatest},
		"less than a wait":    {[]time.Duration{1 * ms}, primeLatest},
		"short grace periods": {[]time.Duration{3 * ms}, primeSoonest},
		"as here":             {[]time.Duration{7 * ms}, 3500 * time.Microsecond},
		"a shorter one after": {[]time.Duration{8 * ms, 3 * ms}, 4 * ms},
		"a longer one after":  {[]time.Duration{3 * ms, 9 * ms}, 4500 * time.Microsecond},
		"many want the lock":  {[]time.Duration{7 * ms, 60 * ms}, primeLatest},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var taken []time.Time
				p := &Primer{write: func() error {
					n := len(taken)
					taken = append(taken, time.Now())
					if n < len(c.waits) {
						time.Sleep(c.waits[n])
					}
					return nil
				}}
				release := p.Hold()
				time.Sleep(200 * ms)
				release()
				time.Sleep(200 * ms)
				synctest.Wait()
				last := len(taken) - 1
				if got := taken[last].Sub(taken[last-1]); got != c.want {
					t.Errorf("taken again after %s, want %s", got, c.want)
				}
			})
		})
	}
}

func TestOwn(t *testing.T) {
	v1 := map[string]string{"cpu": "/c/cpu,cpuacct", "memory": "/c/memory", "pids": "/c/pids", "name=systemd": "/c/systemd"}
	for name, c := range map[string]struct {
		host Host
		text string
		want []string
	}{
		"v2":                   {Host{Root: "/c", Mode: Unified}, "0::/system.slice/berth.service\n", []string{"/c/system.slice/berth.service"}},
		"hybrid":               {Host{Root: "/c", Mode: Hybrid, Controllers: v1}, "9:memory:/m\n2:cpu,cpuacct:/\n1:name=systemd:/s\n0::/u\n", []string{"/c/unified/u", "/c/systemd/s", "/c/memory/m"}},
		"v1":                   {Host{Root: "/c", Mode: Legacy, Controllers: v1}, "9:memory:/m\n3:pids:/p\n1:name=systemd:/s\n0::/\n", []string{"/c/systemd/s", "/c/pids/p", "/c/memory/m"}},
		"v1 without systemd":   {Host{Root: "/c", Mode: Legacy, Controllers: map[string]string{"memory": "/c/memory"}}, "9:memory:/m\n1:name=systemd:/s\n", []string{"/c/memory/m"}},
		"outside":              {Host{Root: "/c", Mode: Unified}, "0::/../other\n", nil},
		"nothing that we know": {Host{Root: "/c", Mode: Legacy, Controllers: v1}, "7:rdma:/\n", nil},
		"nonsense":             {Host{Root: "/c", Mode: Unified}, "what\n", nil},
	} {
		if got := c.host.own(c.text); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// A process that is not in the cgroup does not get there.
func TestJoin(t *testing.T) {
	procs := filepath.Join(t.TempDir(), "cgroup.procs")
	here := strconv.Itoa(os.Getpid())
	for _, c := range []struct {
		is, want string
		found    bool
	}{
		{"1\n" + here + "\n", "1\n" + here + "\n0", true},
		{"1\n" + here + "1\n", "1\n" + here + "1\n", false},
		{"", "", false},
	} {
		if err := os.WriteFile(procs, []byte(c.is), 0o600); err != nil {
			t.Fatal(err)
		}
		err := new(selfMover).join(procs)
		if c.found != (err == nil) || !c.found && !errdefs.IsNotFound(err) {
			t.Errorf("%q: %v", c.is, err)
		}
		if got, _ := os.ReadFile(procs); string(got) != c.want {
			t.Errorf("%q became %q, want %q", c.is, got, c.want)
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
	if err := (&selfMover{host: h}).move(); errors.Is(err, syscall.EROFS) || errors.Is(err, syscall.EACCES) {
		t.Skip("needs cgroups that can be written to:", err)
	} else if err != nil {
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
	s := selfMover{host: h}
	for b.Loop() {
		if err := s.move(); err != nil {
			b.Skip(err)
		}
	}
}
