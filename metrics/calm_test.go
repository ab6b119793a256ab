package metrics

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/berth-run/berth/internal/cgroup"
)

// TestCalms: when the stalls of a resource need not be read again.
func TestCalms(t *testing.T) {
	now := time.Now()
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	none := &Stall{Some: StallTime{Total: 7}}
	// read is a cgroup of which a total was read first and last so long ago, and in which something ran
	// so long ago.
	read := func(s *Stall, first, last, ran time.Duration) *group {
		g := &group{ran: ago(ran)}
		for i := range g.calm {
			g.calm[i] = calm{stall: s, since: ago(first), at: ago(last)}
		}
		return g
	}
	within := func(g, pod *group) *group { g.pod = pod; return g }
	const s = time.Second
	for name, x := range map[string]struct {
		group       *group
		memory, cpu bool
	}{
		"nothing is known":                   {&group{}, false, false},
		"nothing ran":                        {read(none, 20*s, 10*s, 30*s), true, false},
		"something ran since":                {read(none, 20*s, 10*s, 15*s), false, false},
		"something ran at the last reading":  {read(none, 20*s, 10*s, 5*s), false, false},
		"read once":                          {read(none, 10*s, 10*s, 30*s), false, false},
		"read twice before averages follow":  {read(none, 12*s, 10*s, 30*s), false, false},
		"a minute ago":                       {read(none, 80*s, 61*s, 90*s), false, false},
		"averages have not run out":          {read(&Stall{Some: StallTime{Avg300: 0.01}}, 20*s, 10*s, 30*s), false, false},
		"of all tasks neither":               {read(&Stall{Full: StallTime{Avg10: 0.01}}, 20*s, 10*s, 30*s), false, false},
		"busy in a calm pod":                 {within(read(none, 20*s, 10*s, s), read(none, 15*s, 0, s)), true, true},
		"in a pod that was not until later":  {within(read(none, 20*s, 10*s, s), read(none, 5*s, 0, s)), false, false},
		"in a pod that waits":                {within(read(none, 20*s, 10*s, s), read(&Stall{Some: StallTime{Avg60: 1}}, 15*s, 0, s)), false, false},
		"in a pod of which nothing is known": {within(read(none, 20*s, 10*s, s), &group{}), false, false},
	} {
		for resource, want := range map[int]bool{stallMemory: x.memory, stallIO: x.memory, stallCPU: x.cpu} {
			if got := x.group.calms(resource); got != want {
				t.Errorf("%s: %s: %t", name, stallFiles[resource], got)
			}
		}
	}
}

// TestCalmFiles: the files of what is calm are not read, and are again when something ran, waits or cannot be read.
func TestCalmFiles(t *testing.T) {
	const (
		before = "some avg10=0.00 avg60=0.00 avg300=0.00 total=7\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=5"
		after  = "some avg10=0.00 avg60=0.00 avg300=0.00 total=9\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=5"
		waits  = "some avg10=1.00 avg60=0.00 avg300=0.00 total=7\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=5"
	)
	dir := t.TempDir()
	write := func(content string) {
		t.Helper()
		for _, name := range stallFiles {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	g := newGroup("/p", true, cgroup.Paths{"": dir})
	total := func(s *Stall) uint64 { return s.Some.Total / uint64(time.Microsecond) }
	expect := func(when string, want ...uint64) {
		t.Helper()
		var s Sample
		if err := readPressure(&files{}, g, &s); err != nil {
			t.Fatal(err)
		}
		switch p := s.Pressure; {
		case p == nil && want == nil:
		case p == nil, want == nil, total(p.CPU) != want[0], total(p.Memory) != want[1], total(p.IO) != want[2]:
			t.Errorf("%s: %+v, want %v", when, p, want)
		}
	}
	calmDown := func(content string) {
		t.Helper()
		g.ran = time.Now().Add(-4 * settleAge)
		write(content)
		expect("at first", 7, 7, 7)
		for i := range g.calm {
			g.calm[i].since = g.calm[i].since.Add(-2 * settleAge)
		}
	}
	calmDown(before)
	write(after)
	expect("calm", 9, 7, 7)
	g.ran = time.Now()
	expect("something ran", 9, 9, 9)
	calmDown(waits)
	write(after)
	expect("after averages that had not run out", 9, 9, 9)
	calmDown(before)
	write(after)
	g.close(newHandles())
	expect("made anew", 9, 9, 9)
	for _, name := range stallFiles {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	expect("without files")
	if g.calm != [stalls]calm{} {
		t.Errorf("kept %+v", g.calm)
	}
}
