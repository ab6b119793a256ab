package cgroups

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	unified := root
	if _, err := os.Stat(root + "/unified/cgroup.procs"); err == nil {
		unified += "/unified"
	}
	for name, tc := range map[string]struct {
		in   string
		dirs map[string]string
	}{
		"v1": {"5:cpu,cpuacct:/a\n4:memory:/pod/ctr\n0::/\n", map[string]string{
			"cpu": root + "/cpu,cpuacct/a", "cpuacct": root + "/cpu,cpuacct/a", "memory": root + "/memory/pod/ctr", "": unified,
		}},
		"v2":    {"0::/kubepods.slice/cri-x.scope\n", map[string]string{"": unified + "/kubepods.slice/cri-x.scope"}},
		"colon": {"0::/a:b\n", map[string]string{"": unified + "/a:b"}},
		"named": {"1:name=systemd:/x\n", map[string]string{"name=systemd": root + "/systemd/x"}},
		"empty": {"", map[string]string{}},
		"junk":  {"x\n1:y\n", map[string]string{}},
	} {
		if got := Parse(tc.in).Dirs; fmt.Sprint(got) != fmt.Sprint(tc.dirs) {
			t.Errorf("%s: %v, want %v", name, got, tc.dirs)
		}
	}
}

// write1 writes a file below dir.
func write1(t *testing.T, dir, name, data string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestOOMKillsOfNestedCgroups(t *testing.T) {
	dir := t.TempDir()
	for d, n := range map[string]int{dir: 1, filepath.Join(dir, "a", "b"): 2} {
		write1(t, d, "memory.oom_control", fmt.Sprintf("oom_kill_disable 0\nunder_oom 0\noom_kill %d\n", n))
		write1(t, d, "memory.events", fmt.Sprintf("low 0\noom 9\noom_kill %d\noom_group_kill 7\n", 3*n))
	}
	for name, tc := range map[string]struct {
		dirs map[string]string
		want uint64
	}{
		"v1, the sum":                   {map[string]string{"memory": dir}, 3},
		"hybrid, v1's":                  {map[string]string{"memory": dir, "": dir}, 3},
		"v2, which has nested ones too": {map[string]string{"": dir}, 3},
		"v1 without memory":             {map[string]string{"pids": dir, "": dir}, 0},
		"none":                          {nil, 0},
		"gone":                          {map[string]string{"memory": dir + "/gone"}, 0},
	} {
		if got := (Group{tc.dirs}).OOMKills(); got != tc.want {
			t.Errorf("%s: %d, want %d", name, got, tc.want)
		}
	}
}

func TestPIDsOfNestedCgroups(t *testing.T) {
	dir := t.TempDir()
	write1(t, dir, "cgroup.procs", "1\n22\n")
	write1(t, filepath.Join(dir, "a"), "cgroup.procs", "333\n0\n")
	pids, err := (Group{map[string]string{"pids": dir}}).PIDs()
	if err != nil || fmt.Sprint(pids) != "[1 22 333]" {
		t.Errorf("%v, %v", pids, err)
	}
	if pids, err := (Group{map[string]string{"pids": dir + "/gone"}}).PIDs(); err != nil || len(pids) > 0 {
		t.Errorf("a cgroup that is gone: %v, %v", pids, err)
	}
}

func TestValue(t *testing.T) {
	dir := t.TempDir()
	write1(t, dir, "f", "usage_usec 5\nuser_usec 3\n")
	write1(t, dir, "n", "17\n")
	write1(t, dir, "m", "max\n")
	for in, want := range map[string]uint64{"f user_usec": 3, "f other": 0, "n ": 17, "m ": 1<<64 - 1, "gone ": 0} {
		name, key, _ := strings.Cut(in, " ")
		if got := Value(filepath.Join(dir, name), key); got != want {
			t.Errorf("%q: %d, want %d", in, got, want)
		}
	}
}
