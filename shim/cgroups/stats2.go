package cgroups

import (
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/berth-run/berth/shim/pb"
	"google.golang.org/protobuf/encoding/protowire"
)

// memoryKeys2 are the keys of memory.stat in the order of the fields of MemoryStat, from 1.
var memoryKeys2 = strings.Fields(`anon file kernel_stack slab sock shmem file_mapped file_dirty file_writeback anon_thp
	inactive_anon active_anon inactive_file active_file unevictable slab_reclaimable slab_unreclaimable
	pgfault pgmajfault workingset_refault workingset_activate workingset_nodereclaim pgrefill pgscan pgsteal
	pgactivate pgdeactivate pglazyfree pglazyfreed thp_fault_alloc thp_collapse_alloc`)

// metrics2 is io.containerd.cgroups.v2.Metrics.
func (g Group) metrics2() []byte {
	at := func(name string) string { return filepath.Join(g.Dirs[""], name) }
	m := pb.Bytes(nil, 1, numbersOf(at("pids.current"), at("pids.max")))
	cpu := figuresOf(at("cpu.stat")).append(nil,
		"usage_usec", "user_usec", "system_usec", "nr_periods", "nr_throttled", "throttled_usec", "-", "nr_bursts", "burst_usec")
	m = pb.Bytes(m, 2, pressure(cpu, 7, at("cpu.pressure")))
	memory := figuresOf(at("memory.stat")).append(nil, memoryKeys2...)
	for i, name := range []string{"current", "max", "swap.current", "swap.max", "peak", "swap.peak"} {
		memory = pb.Uint(memory, protowire.Number(32+i), figuresOf(at("memory." + name))[""])
	}
	m = pb.Bytes(m, 4, pressure(memory, 38, at("memory.pressure")))
	m = pb.Bytes(m, 5, nil) // RdmaStat, which pods are not limited by
	m = pb.Bytes(m, 6, pressure(ioStat(at("io.stat")), 2, at("io.pressure")))
	for _, size := range pageSizes(g.Dirs[""], ".current") {
		huge := numbersOf(at("hugetlb."+size+".current"), at("hugetlb."+size+".max"))
		huge = pb.String(huge, 3, size)
		m = pb.Bytes(m, 7, pb.Uint(huge, 4, figuresOf(at("hugetlb." + size + ".events"))["max"]))
	}
	events := figuresOf(at("memory.events"))
	return pb.Bytes(m, 8, events.append(nil, "low", "high", "max", "oom", "oom_kill", "oom_group_kill"))
}

// ioStat are the IOEntries of IOStat, from lines like "8:0 rbytes=4096 wbytes=0 rios=1 wios=0".
func ioStat(path string) (m []byte) {
	data, _ := os.ReadFile(path)
	for line := range strings.Lines(string(data)) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		entry, ok := device(nil, 1, words[0])
		if !ok {
			continue
		}
		f := figures{}
		for _, word := range words[1:] {
			if key, value, ok := strings.Cut(word, "="); ok {
				f[key], _ = number(value)
			}
		}
		m = pb.Bytes(m, 1, append(entry, f.append(nil, "-", "-", "rbytes", "wbytes", "rios", "wios")...))
	}
	return m
}

// pressure appends the PSIStats that a file has, as field num; a kernel that keeps none has no such message.
func pressure(b []byte, num protowire.Number, path string) []byte {
	data, err := os.ReadFile(path)
	if err != nil {
		return b
	}
	var stats []byte
	for line := range strings.Lines(string(data)) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
		case words[0] == "some":
			stats = pb.Bytes(stats, 1, stall(words[1:]))
		case words[0] == "full":
			stats = pb.Bytes(stats, 2, stall(words[1:]))
		}
	}
	return pb.Bytes(b, num, stats)
}

// stall is PSIData: "avg10=0.00 avg60=0.00 avg300=0.00 total=0", the total in microseconds.
func stall(words []string) (m []byte) {
	for _, word := range words {
		key, value, _ := strings.Cut(word, "=")
		for i, avg := range []string{"avg10", "avg60", "avg300"} {
			if v, err := strconv.ParseFloat(value, 64); key == avg && err == nil && v != 0 {
				m = protowire.AppendTag(m, protowire.Number(i+1), protowire.Fixed64Type)
				m = protowire.AppendFixed64(m, math.Float64bits(v))
			}
		}
		if n, ok := number(value); key == "total" && ok {
			m = pb.Uint(m, 4, n)
		}
	}
	return m
}
