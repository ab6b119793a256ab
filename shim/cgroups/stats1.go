package cgroups

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/berth-run/berth/shim/pb"
	"google.golang.org/protobuf/encoding/protowire"
)

// memoryKeys1 are the keys of memory.stat in the order of the fields of MemoryStat, from 1.
var memoryKeys1 = strings.Fields(`cache rss rss_huge mapped_file dirty writeback pgpgin pgpgout pgfault pgmajfault
	inactive_anon active_anon inactive_file active_file unevictable
	hierarchical_memory_limit hierarchical_memsw_limit
	total_cache total_rss total_rss_huge total_mapped_file total_dirty total_writeback total_pgpgin total_pgpgout
	total_pgfault total_pgmajfault total_inactive_anon total_active_anon total_inactive_file total_active_file
	total_unevictable`)

// metrics1 is io.containerd.cgroups.v1.Metrics. name gives a device's name by its number.
func (g Group) metrics1(name func(number string) string) []byte {
	pids := g.Dirs["pids"]
	m := hugetlb1(g.Dirs["hugetlb"])
	m = pb.Bytes(m, 2, numbersOf(filepath.Join(pids, "pids.current"), filepath.Join(pids, "pids.max")))
	m = pb.Bytes(m, 3, cpu1(g.Dirs["cpuacct"], g.Dirs["cpu"]))
	m = pb.Bytes(m, 4, memory1(g.Dirs["memory"]))
	m = pb.Bytes(m, 5, blkio(g.Dirs["blkio"], name))
	m = pb.Bytes(m, 6, nil) // RdmaStat, which pods are not limited by
	oom := figuresOf(filepath.Join(g.Dirs["memory"], "memory.oom_control"))
	return pb.Bytes(m, 9, oom.append(nil, "oom_kill_disable", "under_oom", "oom_kill"))
}

// cpu1 is CPUStat; all times are nanoseconds.
func cpu1(acct, cpu string) []byte {
	usage := numbersOf(filepath.Join(acct, "cpuacct.usage"),
		filepath.Join(acct, "cpuacct.usage_sys"), filepath.Join(acct, "cpuacct.usage_user"))
	var each []byte
	data, _ := os.ReadFile(filepath.Join(acct, "cpuacct.usage_percpu"))
	for _, word := range strings.Fields(string(data)) {
		n, _ := number(word)
		each = protowire.AppendVarint(each, n)
	}
	if len(each) > 0 {
		usage = pb.Bytes(usage, 4, each)
	}
	throttled := figuresOf(filepath.Join(cpu, "cpu.stat"))
	return pb.Bytes(pb.Bytes(nil, 1, usage), 2, throttled.append(nil, "nr_periods", "nr_throttled", "throttled_time"))
}

// memory1 is MemoryStat.
func memory1(dir string) []byte {
	m := figuresOf(filepath.Join(dir, "memory.stat")).append(nil, memoryKeys1...)
	for i, kind := range []string{"memory.", "memory.memsw.", "memory.kmem.", "memory.kmem.tcp."} {
		at := filepath.Join(dir, kind)
		m = pb.Bytes(m, protowire.Number(33+i),
			numbersOf(at+"limit_in_bytes", at+"usage_in_bytes", at+"max_usage_in_bytes", at+"failcnt"))
	}
	return m
}

// hugetlb1 are the HugetlbStats, one for each size of pages.
func hugetlb1(dir string) (m []byte) {
	for _, size := range pageSizes(dir, ".usage_in_bytes") {
		at := filepath.Join(dir, "hugetlb."+size+".")
		m = pb.Bytes(m, 1, pb.String(numbersOf(at+"usage_in_bytes", at+"max_usage_in_bytes", at+"failcnt"), 4, size))
	}
	return m
}

// pageSizes are the sizes ("2MB") of huge pages that the files of a cgroup are about.
func pageSizes(dir, suffix string) (sizes []string) {
	if dir == "" {
		return nil
	}
	paths, _ := filepath.Glob(filepath.Join(dir, "hugetlb.*"+suffix))
	for _, path := range paths {
		size := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(path), "hugetlb."), suffix)
		if !strings.Contains(size, ".") { // "2MB.rsvd" is about reservations
			sizes = append(sizes, size)
		}
	}
	return sizes
}
