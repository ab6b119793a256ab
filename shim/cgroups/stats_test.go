package cgroups

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/cgroups/v3/cgroup1"
	v1 "github.com/containerd/cgroups/v3/cgroup1/stats"
	"github.com/containerd/cgroups/v3/cgroup2"
	v2 "github.com/containerd/cgroups/v3/cgroup2/stats"
	"google.golang.org/protobuf/proto"
)

// dirs1 writes a v1 hierarchy in a directory of its own and gives its cgroup "/a".
func dirs1(t *testing.T, files map[string]string) (root string, g Group) {
	t.Helper()
	root, g = t.TempDir(), Group{map[string]string{}}
	for _, c := range []string{"pids", "cpu", "cpuacct", "memory", "blkio", "hugetlb"} {
		g.Dirs[c] = filepath.Join(root, c, "a")
	}
	for name, data := range files {
		write1(t, filepath.Join(root, filepath.Dir(name), "a"), filepath.Base(name), data)
	}
	return root, g
}

// values1 are files of v1 with figures that are all different.
func values1() map[string]string {
	files := map[string]string{
		"pids/pids.current": "3\n", "pids/pids.max": "max\n",
		"cpu/cpu.stat":               "nr_periods 4\nnr_throttled 5\nthrottled_time 6\n",
		"cpuacct/cpuacct.usage":      "7000000000\n",
		"cpuacct/cpuacct.stat":       "user 200\nsystem 300\n",
		"cpuacct/cpuacct.usage_user": "2000000000\n", "cpuacct/cpuacct.usage_sys": "3000000000\n",
		"cpuacct/cpuacct.usage_percpu":            "1 0 300 \n",
		"memory/memory.oom_control":               "oom_kill_disable 1\nunder_oom 0\noom_kill 9\n",
		"hugetlb/hugetlb.2MB.rsvd.usage_in_bytes": "77\n",
	}
	var stat strings.Builder
	for i, key := range memoryKeys1 {
		stat.WriteString(key + " " + strings.Repeat("1", i%19+1) + "\n")
	}
	files["memory/memory.stat"] = stat.String()
	for i, kind := range []string{"memory.", "memory.memsw.", "memory.kmem.", "memory.kmem.tcp."} {
		for j, name := range []string{"usage_in_bytes", "limit_in_bytes", "max_usage_in_bytes", "failcnt"} {
			files["memory/"+kind+name] = strings.Repeat(string(rune('1'+i)), j+1) + "\n"
		}
	}
	for _, name := range []string{"usage_in_bytes", "max_usage_in_bytes", "failcnt"} {
		files["hugetlb/hugetlb.2MB."+name] = "8" + strings.Repeat("0", len(name)) + "\n"
	}
	return files
}

const (
	throttle = "blkio/blkio.throttle."
	bytes1   = "8:16 Read 4096\n8:16 Write 512\n8:16 Sync 1\n8:16 Discard 0\n8:16 Total 4608\n8:0 Read 1\n8:0 Total 1\nTotal 4609\n"
	ops1     = "8:16 Read 2\n8:16 Write 1\n8:16 Total 3\nTotal 3\n"
)

// containerd1 are the figures as containerd's library reads them.
func containerd1(t *testing.T, root string) *v1.Metrics {
	t.Helper()
	m := &v1.Metrics{CPU: &v1.CPUStat{Usage: &v1.CPUUsage{}, Throttling: &v1.Throttle{}}, Rdma: &v1.RdmaStat{}}
	for _, c := range []interface {
		Stat(path string, stats *v1.Metrics) error
	}{
		cgroup1.NewPids(root), cgroup1.NewCpu(root), cgroup1.NewCpuacct(root), cgroup1.NewMemory(root), cgroup1.NewBlkio(root),
	} {
		if err := c.Stat("/a", m); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// TestMetrics1 compares with containerd's library, on the files of a kernel with the CFQ scheduler and of one without.
func TestMetrics1(t *testing.T) {
	for name, layer := range map[string]string{"throttling": throttle, "scheduler": "blkio/blkio."} {
		t.Run(name, func(t *testing.T) {
			files := values1()
			files[layer+"io_service_bytes_recursive"], files[layer+"io_serviced_recursive"] = bytes1, ops1
			files[throttle+"io_service_bytes"], files[throttle+"io_serviced"] = bytes1, ops1
			if name == "scheduler" {
				for _, f := range blkioFiles[2:] {
					files[layer+f] = "8:16 " + "12\n"
				}
			}
			root, g := dirs1(t, files)
			want := containerd1(t, root)
			// The library counts a limit of none as 0 and knows no cgroup's huge pages but by the host's sizes.
			want.Pids.Limit = 1<<64 - 1
			want.Hugetlb = []*v1.HugetlbStat{{Usage: 8e14, Max: 8e18, Failcnt: 8e7, Pagesize: "2MB"}}
			got := &v1.Metrics{}
			if err := proto.Unmarshal(g.metrics1(func(string) string { return "" }), got); err != nil {
				t.Fatal(err)
			}
			for _, list := range [][]*v1.BlkIOEntry{want.Blkio.IoServiceBytesRecursive, want.Blkio.IoServicedRecursive} {
				if len(list) == 0 {
					t.Fatal("the library read nothing")
				}
			}
			clearNames(want.Blkio)
			if !proto.Equal(got, want) {
				t.Errorf("got\n%v\nwant\n%v", got, want)
			}
		})
	}
}

// clearNames drops what the host's disks are called.
func clearNames(b *v1.BlkIOStat) {
	for _, list := range [][]*v1.BlkIOEntry{
		b.IoServiceBytesRecursive, b.IoServicedRecursive, b.IoQueuedRecursive, b.IoServiceTimeRecursive,
		b.IoWaitTimeRecursive, b.IoMergedRecursive, b.IoTimeRecursive, b.SectorsRecursive,
	} {
		for _, e := range list {
			e.Device = ""
		}
	}
}

// TestMetrics1BFQ: a kernel may count in the BFQ scheduler alone.
func TestMetrics1BFQ(t *testing.T) {
	_, g := dirs1(t, map[string]string{
		throttle + "io_service_bytes_recursive":      "Total 0\n",
		"blkio/blkio.bfq.io_service_bytes_recursive": bytes1,
	})
	m := &v1.Metrics{}
	if err := proto.Unmarshal(g.metrics1(func(n string) string { return "/dev/" + n }), m); err != nil {
		t.Fatal(err)
	}
	list := m.Blkio.IoServiceBytesRecursive
	if len(list) != 7 {
		t.Fatalf("%v", list)
	}
	if want := (&v1.BlkIOEntry{Op: "Write", Device: "/dev/8:16", Major: 8, Minor: 16, Value: 512}); !proto.Equal(list[1], want) {
		t.Errorf("%v, want %v", list[1], want)
	}
}

// TestMetrics2 compares with containerd's library.
func TestMetrics2(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "a")
	const psi = "some avg10=1.50 avg60=0.25 avg300=0.00 total=12\nfull avg10=0.00 avg60=0.00 avg300=3.00 total=4\n"
	var stat strings.Builder
	for i, key := range memoryKeys2 {
		stat.WriteString(key + " " + strings.Repeat("1", i%19+1) + "\n")
	}
	for name, data := range map[string]string{
		"pids.current": "3\n", "pids.max": "max\n", "memory.stat": stat.String(),
		"cpu.stat": "usage_usec 1\nuser_usec 2\nsystem_usec 3\nnice_usec 9\nnr_periods 4\nnr_throttled 5\nthrottled_usec 6\n" +
			"nr_bursts 7\nburst_usec 8\n",
		"cpu.pressure": psi, "memory.pressure": psi, "io.pressure": psi,
		"memory.current": "21\n", "memory.max": "max\n", "memory.peak": "22\n",
		"memory.swap.current": "23\n", "memory.swap.max": "24\n", "memory.swap.peak": "25\n",
		"memory.events": "low 1\nhigh 2\nmax 3\noom 4\noom_kill 5\noom_group_kill 6\n",
		"io.stat":       "8:16 rbytes=4096 wbytes=512 rios=2 wios=1 dbytes=0 dios=0 cost.usage=1\n253:0 rbytes=1 wbytes=0 rios=1 wios=0\n7:0 \n",
	} {
		write1(t, dir, name, data)
	}
	m, err := cgroup2.Load("/a", cgroup2.WithMountpoint(root))
	if err != nil {
		t.Fatal(err)
	}
	want, err := m.Stat()
	if err != nil {
		t.Fatal(err)
	}
	want.Hugetlb = nil // the host's sizes
	got := &v2.Metrics{}
	if err := proto.Unmarshal(Group{map[string]string{"": dir}}.metrics2(), got); err != nil {
		t.Fatal(err)
	}
	if len(want.Io.Usage) != 3 || want.Io.PSI == nil {
		t.Fatalf("the library read %v", want.Io)
	}
	if !proto.Equal(got, want) {
		t.Errorf("got\n%v\nwant\n%v", got, want)
	}
	for name, data := range map[string]string{
		"hugetlb.2MB.current": "5\n", "hugetlb.2MB.max": "max\n", "hugetlb.2MB.events": "max 6\n", "hugetlb.2MB.rsvd.current": "7\n",
	} {
		write1(t, dir, name, data)
	}
	if err := proto.Unmarshal(Group{map[string]string{"": dir}}.metrics2(), got); err != nil {
		t.Fatal(err)
	}
	huge := &v2.HugeTlbStat{Current: 5, Max: 1<<64 - 1, Pagesize: "2MB", Failcnt: 6}
	if len(got.Hugetlb) != 1 || !proto.Equal(got.Hugetlb[0], huge) {
		t.Errorf("%v, want %v", got.Hugetlb, huge)
	}
}

// TestMetricsOfNothing: clients look into these messages without asking whether they are there, also of a container
// whose cgroup is gone, or on a kernel without some of the controllers.
func TestMetricsOfNothing(t *testing.T) {
	var m1 v1.Metrics
	if err := proto.Unmarshal(Group{map[string]string{"memory": "/nowhere"}}.metrics1(deviceName), &m1); err != nil {
		t.Fatal(err)
	}
	if m1.Pids == nil || m1.CPU == nil || m1.CPU.Usage == nil || m1.CPU.Throttling == nil || m1.Memory == nil ||
		m1.Memory.Usage == nil || m1.Memory.Swap == nil || m1.Memory.Kernel == nil || m1.Memory.KernelTCP == nil ||
		m1.Blkio == nil || m1.Rdma == nil || m1.MemoryOomControl == nil {
		t.Errorf("v1: %v", &m1)
	}
	var m2 v2.Metrics
	if err := proto.Unmarshal(Group{map[string]string{"": "/nowhere"}}.metrics2(), &m2); err != nil {
		t.Fatal(err)
	}
	if m2.Pids == nil || m2.CPU == nil || m2.Memory == nil || m2.Io == nil || m2.Rdma == nil || m2.MemoryEvents == nil {
		t.Errorf("v2: %v", &m2)
	}
}

func TestDeviceName(t *testing.T) {
	if got := deviceName("4095:1"); got != "" {
		t.Errorf("a device that is not there is called %q", got)
	}
	all, _ := os.ReadDir("/sys/dev/block")
	if len(all) == 0 {
		t.Skip("the host has no block devices")
	}
	for _, e := range all {
		if name := deviceName(e.Name()); !strings.HasPrefix(name, "/dev/") || strings.Contains(name, "!") {
			t.Errorf("%s is called %q", e.Name(), name)
		}
	}
}
