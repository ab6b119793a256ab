package cgroups

import (
	"testing"

	v1 "github.com/containerd/cgroups/v3/cgroup1/stats"
	v2 "github.com/containerd/cgroups/v3/cgroup2/stats"
	"google.golang.org/protobuf/proto"
)

// TestMetricsOfV1: clients get every message that containerd's own shim sends, also of a cgroup that did nothing.
func TestMetricsOfV1(t *testing.T) {
	dir := t.TempDir()
	g := Group{map[string]string{"pids": dir, "memory": dir, "cpu": dir, "cpuacct": dir, "blkio": dir, "": dir}}
	empty := &v1.Metrics{}
	if err := proto.Unmarshal(g.Metrics().Value, empty); err != nil {
		t.Fatal(err)
	}
	if empty.CPU == nil || empty.CPU.Usage == nil || empty.CPU.Throttling == nil || empty.Memory == nil || empty.Memory.Usage == nil || empty.Pids == nil || empty.Blkio == nil {
		t.Errorf("messages are missing: %v", empty)
	}
	write1(t, dir, "blkio.throttle.io_service_bytes_recursive", "7:0 Read 4096\n7:0 Write 512\n7:0 Total 4608\n8:16 Read x\nTotal 4608\n")
	write1(t, dir, "blkio.throttle.io_serviced_recursive", "7:0 Read 3\n")
	write1(t, dir, "cpuacct.usage_percpu", "5 7 \n")
	write1(t, dir, "cpu.stat", "nr_periods 2\nnr_throttled 1\nthrottled_time 900\n")
	m := &v1.Metrics{}
	if err := proto.Unmarshal(g.Metrics().Value, m); err != nil {
		t.Fatal(err)
	}
	bytes := m.Blkio.IoServiceBytesRecursive
	if len(bytes) != 3 || bytes[1].Op != "Write" || bytes[1].Major != 7 || bytes[1].Minor != 0 || bytes[1].Value != 512 ||
		len(m.Blkio.IoServicedRecursive) != 1 || m.Blkio.IoServicedRecursive[0].Value != 3 {
		t.Errorf("block devices: %v", m.Blkio)
	}
	if per := m.CPU.Usage.PerCPU; len(per) != 2 || per[1] != 7 || m.CPU.Throttling.ThrottledTime != 900 {
		t.Errorf("processor: %v", m.CPU)
	}
}

func TestMetricsOfV2(t *testing.T) {
	dir := t.TempDir()
	g := Group{map[string]string{"": dir}}
	empty := &v2.Metrics{}
	if err := proto.Unmarshal(g.Metrics().Value, empty); err != nil {
		t.Fatal(err)
	}
	if empty.CPU == nil || empty.Memory == nil || empty.Pids == nil || empty.Io == nil || empty.MemoryEvents == nil {
		t.Errorf("messages are missing: %v", empty)
	}
	write1(t, dir, "io.stat", "253:0 rbytes=4096 wbytes=512 rios=3 wios=1 dbytes=9 dios=9\n8:0 \n")
	m := &v2.Metrics{}
	if err := proto.Unmarshal(g.Metrics().Value, m); err != nil {
		t.Fatal(err)
	}
	if u := m.Io.Usage; len(u) != 2 || u[0].Major != 253 || u[0].Rbytes != 4096 || u[0].Wbytes != 512 || u[0].Rios != 3 || u[0].Wios != 1 || u[1].Major != 8 {
		t.Errorf("block devices: %v", m.Io)
	}
}
