package metrics

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/berth-run/berth/internal/cgroup"
)

var update = flag.Bool("update", false, "write the golden files anew")

// v1Group and v2Group are the fixtures: v1 was read from a cgroup of a 6.18 kernel
// (its blkio and hugetlb files follow the kernel's documentation), v2 follows
// Documentation/admin-guide/cgroup-v2.rst.
func v1Group() *group {
	dirs := cgroup.Paths{"": "testdata/v1/unified"}
	for _, c := range []string{"cpu", "cpuacct", "memory", "blkio", "pids", "hugetlb"} {
		dirs[c] = "testdata/v1/" + c
	}
	return newGroup("/p", false, dirs)
}

func v2Group() *group { return newGroup("/p", true, cgroup.Paths{"": "testdata/v2"}) }

func TestReadersGolden(t *testing.T) {
	for name, g := range map[string]*group{"v1": v1Group(), "v2": v2Group()} {
		t.Run(name, func(t *testing.T) {
			var s Sample
			f := &files{}
			for _, r := range readers([]string{"2MB", "1GB", "64KB"}) {
				if err := r.read(f, g, &s); err != nil {
					t.Errorf("%s: %v", r.name, err)
				}
			}
			if s.CPU == nil || s.CPU.At.IsZero() {
				t.Error("CPU has no time")
			}
			golden(t, filepath.Join("testdata", name+".golden.json"), s)
		})
	}
}

func golden(t *testing.T, path string, v any) {
	t.Helper()
	got, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s differs; got\n%s", path, got)
	}
}

// A cgroup that is not there is no failure of its readers' neighbours.
func TestReadersOfNothing(t *testing.T) {
	for name, g := range map[string]*group{
		"v1": newGroup("/p", false, cgroup.Paths{"cpu": "testdata/absent"}),
		"v2": newGroup("/p", true, cgroup.Paths{"": "testdata/absent"}),
	} {
		var s Sample
		for _, r := range readers([]string{"2MB"}) {
			if err := r.read(&files{}, g, &s); !vanished(err) {
				t.Errorf("%s %s: %v", name, r.name, err)
			}
		}
		if s.CPU != nil || s.Memory != nil || s.IO != nil || s.Pids != nil || s.Hugetlb != nil || s.Pressure != nil {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

func TestBrokenFilesAreErrors(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"cpu.stat": "usage_usec x\n", "memory.current": "\n", "io.stat": "8:0 rbytes=-1\n",
		"pids.current": "1 2\n", "cpu.pressure": "some avg10=a total=0\n", "hugetlb.2MB.current": "",
		"memory.peak": "-\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	g := newGroup("/p", true, cgroup.Paths{"": dir})
	for _, r := range readers([]string{"2MB"}) {
		if r.name == "cpu" && r.detail {
			continue // v2 has no file of its own for them
		}
		s := Sample{CPU: &CPU{}, Memory: &Memory{}, Pids: &Pids{}}
		if err := r.read(&files{}, g, &s); vanished(err) {
			t.Errorf("%s takes nonsense: %v", r.name, err)
		}
	}
}

func TestNumber(t *testing.T) {
	for in, want := range map[string]uint64{
		"0": 0, "9223372036854771712": 9223372036854771712,
		"18446744073709551615": 1<<64 - 1, "max": 1<<64 - 1,
	} {
		if got, err := number([]byte(in)); err != nil || got != want {
			t.Errorf("%s: %d %v", in, got, err)
		}
	}
	for _, in := range []string{"", "-1", "1x", "18446744073709551616"} {
		if got, err := number([]byte(in)); err == nil {
			t.Errorf("%q: %d", in, got)
		}
	}
}

func TestPageSizes(t *testing.T) {
	dir := t.TempDir()
	for _, n := range []string{"hugepages-64kB", "hugepages-2048kB", "hugepages-1048576kB", "other"} {
		if err := os.Mkdir(filepath.Join(dir, n), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	got := map[string]bool{}
	for _, s := range pageSizes(dir) {
		got[s] = true
	}
	if len(got) != 3 || !got["64KB"] || !got["2MB"] || !got["1GB"] {
		t.Errorf("got %v", got)
	}
}

// TestLimitsAge: limits are read again when they have grown old, and of a cgroup that was made anew.
func TestLimitsAge(t *testing.T) {
	for name, host := range map[string]func(*testing.T) *cgroup.Host{"v1": v1Host, "v2": v2Host} {
		t.Run(name, func(t *testing.T) {
			h := host(t)
			f, g := &files{}, newGroup("/kubepods/p1/c1", h.Mode == cgroup.Unified, h.Resolve("/kubepods/p1/c1"))
			file := filepath.Join(g.dir("memory").path, map[string]string{"v1": "memory.limit_in_bytes", "v2": "memory.max"}[name])
			limit := func() uint64 {
				s := &Sample{}
				if err := readMemory(f, g, s); err != nil {
					t.Fatal(err)
				}
				return s.Memory.Limit
			}
			before := limit()
			if err := os.WriteFile(file, []byte("4096\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if got := limit(); got != before {
				t.Errorf("read again at once: %d", got)
			}
			g.memoryLimits.at = time.Now().Add(-limitAge)
			if got := limit(); got != 4096 {
				t.Errorf("%d after %s", got, limitAge)
			}
			if err := os.WriteFile(file, []byte("8192\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			g.close(newHandles())
			if got := limit(); got != 8192 {
				t.Errorf("%d of another cgroup", got)
			}
		})
	}
}
