package cgroups

import (
	"path/filepath"

	"github.com/berth-run/berth/shim/pb"
	"google.golang.org/protobuf/encoding/protowire"
)

// Metrics are the main figures of the cgroup in the form of github.com/containerd/cgroups: processes,
// CPU time, memory, block devices. berthd reads cgroups itself; this is for `ctr task metrics` and `nerdctl stats`,
// which expect each of these messages to be there.
func (g Group) Metrics() pb.Any {
	if g.alone() {
		return g.unified()
	}
	pids, mem, cpu := g.Dirs["pids"], g.Dirs["memory"], g.Dirs["cpuacct"]
	m := pb.Bytes(nil, 2, fields{
		{1, filepath.Join(pids, "pids.current"), ""}, {2, filepath.Join(pids, "pids.max"), ""},
	}.encode())
	usage := pb.Uint(nil, 1, Value(filepath.Join(cpu, "cpuacct.usage"), ""))
	usage = pb.Uint(usage, 2, Value(filepath.Join(cpu, "cpuacct.usage_sys"), ""))
	usage = pb.Uint(usage, 3, Value(filepath.Join(cpu, "cpuacct.usage_user"), ""))
	usage = perCPU(usage, 4, filepath.Join(cpu, "cpuacct.usage_percpu"))
	throttling := filepath.Join(g.Dirs["cpu"], "cpu.stat")
	m = pb.Bytes(m, 3, pb.Bytes(pb.Bytes(nil, 1, usage), 2, fields{
		{1, throttling, "nr_periods"}, {2, throttling, "nr_throttled"}, {3, throttling, "throttled_time"},
	}.encode()))
	stat := filepath.Join(mem, "memory.stat")
	memory := fields{
		{1, stat, "cache"}, {2, stat, "rss"}, {9, stat, "pgfault"}, {10, stat, "pgmajfault"},
		{13, stat, "inactive_file"}, {14, stat, "active_file"}, {28, stat, "total_inactive_anon"},
		{29, stat, "total_active_anon"}, {30, stat, "total_inactive_file"}, {31, stat, "total_active_file"},
	}.encode()
	memory = pb.Bytes(memory, 33, fields{
		{1, filepath.Join(mem, "memory.limit_in_bytes"), ""}, {2, filepath.Join(mem, "memory.usage_in_bytes"), ""},
		{3, filepath.Join(mem, "memory.max_usage_in_bytes"), ""}, {4, filepath.Join(mem, "memory.failcnt"), ""},
	}.encode())
	m = pb.Bytes(m, 4, memory)
	return pb.Any{URL: "io.containerd.cgroups.v1.Metrics", Value: pb.Bytes(m, 5, g.blkio())}
}

func (g Group) unified() pb.Any {
	at := func(name string) string { return filepath.Join(g.Dirs[""], name) }
	m := pb.Bytes(nil, 1, fields{{1, at("pids.current"), ""}, {2, at("pids.max"), ""}}.encode())
	m = pb.Bytes(m, 2, fields{
		{1, at("cpu.stat"), "usage_usec"}, {2, at("cpu.stat"), "user_usec"}, {3, at("cpu.stat"), "system_usec"},
		{4, at("cpu.stat"), "nr_periods"}, {5, at("cpu.stat"), "nr_throttled"}, {6, at("cpu.stat"), "throttled_usec"},
	}.encode())
	m = pb.Bytes(m, 4, fields{
		{1, at("memory.stat"), "anon"}, {2, at("memory.stat"), "file"}, {10, at("memory.stat"), "anon_thp"},
		{11, at("memory.stat"), "inactive_anon"}, {12, at("memory.stat"), "active_anon"},
		{13, at("memory.stat"), "inactive_file"}, {14, at("memory.stat"), "active_file"},
		{18, at("memory.stat"), "pgfault"}, {19, at("memory.stat"), "pgmajfault"},
		{32, at("memory.current"), ""}, {33, at("memory.max"), ""},
		{34, at("memory.swap.current"), ""}, {35, at("memory.swap.max"), ""},
	}.encode())
	m = pb.Bytes(m, 6, g.io())
	m = pb.Bytes(m, 8, fields{{4, at("memory.events"), "oom"}, {5, at("memory.events"), "oom_kill"}}.encode())
	return pb.Any{URL: "io.containerd.cgroups.v2.Metrics", Value: m}
}

// fields are numeric fields of a message, each with the file and the key in it that it comes from.
type fields []struct {
	num       protowire.Number
	path, key string
}

func (fs fields) encode() (b []byte) {
	for _, f := range fs {
		b = pb.Uint(b, f.num, Value(f.path, f.key))
	}
	return b
}
