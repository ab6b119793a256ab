package cgroups

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/containerd/cgroups/v3/cgroup1/stats"
	v2 "github.com/containerd/cgroups/v3/cgroup2/stats"
	"google.golang.org/protobuf/proto"
)

// FuzzParse reads any /proc/<pid>/cgroup: no directory is outside of the cgroup file systems.
func FuzzParse(f *testing.F) {
	f.Add("5:cpu,cpuacct:/a\n4:memory:/pod/ctr\n0::/\n")
	f.Add("1:name=systemd:/x\n0::/../../etc\n")
	f.Add("1:../..:/x\n")
	f.Fuzz(func(t *testing.T, data string) {
		for c, dir := range Parse(data).Dirs {
			if dir != filepath.Clean(dir) || dir != root && !strings.HasPrefix(dir, root+"/") {
				t.Errorf("controller %q is in %q", c, dir)
			}
		}
	})
}

// FuzzMetrics reads a cgroup whose files all say the same: the answer is a message with the parts that clients expect.
func FuzzMetrics(f *testing.F) {
	for _, s := range []string{
		bytes1, ops1, "max\n", "12\n", "1 2 3\n", "cache 4096\nrss max\nnr_periods 1\n",
		"8:16 rbytes=4096 wbytes=x =1\n8: rios=1\n:\n", "some avg10=NaN avg60=-1 avg300=1e999 total=x\nfull\n",
	} {
		f.Add(s)
	}
	dir := f.TempDir()
	all := Group{map[string]string{"": dir}}
	for _, c := range []string{"pids", "cpu", "cpuacct", "memory", "blkio", "hugetlb"} {
		all.Dirs[c] = dir
	}
	data := filepath.Join(dir, "data")
	for _, name := range strings.Fields(`pids.current cpuacct.usage cpuacct.usage_percpu cpu.stat memory.stat memory.oom_control
		blkio.throttle.io_service_bytes_recursive blkio.bfq.time_recursive hugetlb.2MB.usage_in_bytes
		io.stat io.pressure memory.max memory.events hugetlb.2MB.current hugetlb.2MB.events`) {
		if err := os.Symlink(data, filepath.Join(dir, name)); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, s string) {
		if err := os.WriteFile(data, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
		var m1 v1.Metrics
		if err := proto.Unmarshal(all.metrics1(func(string) string { return "" }), &m1); err != nil || m1.Blkio == nil {
			t.Errorf("v1: %v, %v", &m1, err)
		}
		var m2 v2.Metrics
		if err := proto.Unmarshal(all.metrics2(), &m2); err != nil || m2.Io == nil {
			t.Errorf("v2: %v, %v", &m2, err)
		}
		all.OOMKills()
	})
}
