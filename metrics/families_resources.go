package metrics

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/berth-run/berth/internal/cgroup"
)

func cpuFamilies() []family {
	cpu := func(name, help string, read func(*CPU) float64) family {
		return family{name: name, help: help, kind: counter, both: func(m *measured, out emit) {
			if m.CPU != nil {
				out(read(m.CPU))
			}
		}}
	}
	usage := family{
		name: "container_cpu_usage_seconds_total", help: "CPU time consumed, in core seconds.",
		kind: counter, labels: []string{"cpu"},
		both: func(m *measured, out emit) {
			if m.CPU != nil {
				out(seconds(m.CPU.Usage), "total")
			}
		},
	}
	return []family{
		usage,
		cpu("container_cpu_user_seconds_total", "CPU time consumed in user mode, in core seconds.",
			func(c *CPU) float64 { return seconds(c.User) }),
		cpu("container_cpu_system_seconds_total", "CPU time consumed in the kernel, in core seconds.",
			func(c *CPU) float64 { return seconds(c.System) }),
		cpu("container_cpu_cfs_periods_total", "CFS periods that passed with a CPU quota in force.",
			func(c *CPU) float64 { return float64(c.Periods) }),
		cpu("container_cpu_cfs_throttled_periods_total", "CFS periods in which the CPU quota was used up.",
			func(c *CPU) float64 { return float64(c.Throttled) }),
		cpu("container_cpu_cfs_throttled_seconds_total", "Time that threads waited for the next period's CPU quota, in seconds.",
			func(c *CPU) float64 { return seconds(c.ThrottledTime) }),
		cpu("container_cpu_cfs_burst_periods_total", "CFS periods in which saved-up CPU quota was used.",
			func(c *CPU) float64 { return float64(c.Bursts) }),
		cpu("container_cpu_cfs_burst_seconds_total", "CPU time beyond the quota that was used out of what had been saved up, in core seconds.",
			func(c *CPU) float64 { return seconds(c.BurstTime) }),
	}
}

func memoryFamilies() []family {
	mem := func(name, help string, read func(*Memory) uint64) family {
		kind := gauge
		if strings.HasSuffix(name, "_total") {
			kind = counter
		}
		return family{name: name, help: help, kind: kind, both: func(m *measured, out emit) {
			if m.Memory != nil {
				out(float64(read(m.Memory)))
			}
		}}
	}
	failures := family{
		name: "container_memory_failures_total", help: "Page faults by type, of the cgroup alone (scope container) or with those below it (hierarchy).",
		kind: counter, labels: []string{"failure_type", "scope"},
		both: func(m *measured, out emit) {
			if m.Memory != nil {
				out(float64(m.Memory.Faults), "pgfault", "hierarchy")
				out(float64(m.Memory.MajorFaults), "pgmajfault", "hierarchy")
				out(float64(m.Memory.OwnFaults), "pgfault", "container")
				out(float64(m.Memory.OwnMajorFaults), "pgmajfault", "container")
			}
		},
	}
	// A container's last kill is usually that of its first process, hence seen only after its end.
	oom := mem("container_oom_events_total", "Processes killed for the memory limit.", func(m *Memory) uint64 { return m.OOMKills })
	oom.ended = func(c *containerSample, out emit) { out(float64(c.ref.OOMKills)) }
	return []family{
		mem("container_memory_usage_bytes", "Memory charged, whenever it was last used.", func(m *Memory) uint64 { return m.Usage }),
		mem("container_memory_working_set_bytes", "Memory charged without file pages that were not used lately.", func(m *Memory) uint64 { return m.WorkingSet }),
		mem("container_memory_rss", "Anonymous memory in bytes, transparent huge pages and swap cache included.", func(m *Memory) uint64 { return m.RSS }),
		mem("container_memory_cache", "Memory in bytes that holds pages of files.", func(m *Memory) uint64 { return m.Cache }),
		mem("container_memory_mapped_file", "Memory in bytes that holds mapped pages of files.", func(m *Memory) uint64 { return m.MappedFile }),
		mem("container_memory_total_active_file_bytes", "Memory that holds pages of files that were used lately.", func(m *Memory) uint64 { return m.ActiveFile }),
		mem("container_memory_total_inactive_file_bytes", "Memory that holds pages of files that were not used lately.", func(m *Memory) uint64 { return m.InactiveFile }),
		mem("container_memory_kernel_usage", "Memory in bytes that the kernel holds for the cgroup.", func(m *Memory) uint64 { return m.Kernel }),
		mem("container_memory_swap", "Swap in use, in bytes.", func(m *Memory) uint64 { return m.Swap }),
		mem("container_memory_max_usage_bytes", "Largest memory charged so far.", func(m *Memory) uint64 { return m.Peak }),
		mem("container_memory_failcnt", "How often the memory limit was reached.", func(m *Memory) uint64 { return m.LimitHits }),
		oom, failures,
	}
}

func taskFamilies() []family {
	tasks := func(name, help string, alone bool, read func(*Pids) uint64) family {
		return family{name: name, help: help, kind: gauge, both: func(m *measured, out emit) {
			if m.Pids != nil && (alone || !m.Pids.Alone) {
				out(float64(read(m.Pids)))
			}
		}}
	}
	procs := func(name, help string, read func(*Processes) uint64) family {
		return family{name: name, help: help, kind: gauge, both: func(m *measured, out emit) {
			if m.slow.procs != nil {
				out(float64(read(m.slow.procs)))
			}
		}}
	}
	ulimits := family{
		name: "container_ulimits_soft", help: "Soft limits of the container's first process, -1 for none.",
		kind: gauge, labels: []string{"ulimit"},
		container: func(c *containerSample, out emit) {
			if c.slow.procs != nil && c.slow.procs.OpenFiles != nil {
				out(float64(*c.slow.procs.OpenFiles), "max_open_files")
			}
		},
	}
	return []family{
		tasks("container_processes", "Processes.", true, func(p *Pids) uint64 { return p.Processes }),
		tasks("container_threads", "Threads.", false, func(p *Pids) uint64 { return p.Threads }),
		procs("container_file_descriptors", "Open file descriptors.", func(p *Processes) uint64 { return p.Descriptors }),
		procs("container_sockets", "Open sockets.", func(p *Processes) uint64 { return p.Sockets }),
		ulimits,
		tasks("container_threads_max", "Largest number of threads allowed, 0 for no limit.", false, func(p *Pids) uint64 { return p.Limit }),
	}
}

// hasHugetlb reports whether the host has the controller for huge pages.
func hasHugetlb(h *cgroup.Host) bool {
	if h.Mode != cgroup.Unified {
		return h.Controllers["hugetlb"] != ""
	}
	controllers, _ := os.ReadFile(filepath.Join(h.Root, "cgroup.controllers")) // none without the file
	return slices.Contains(strings.Fields(string(controllers)), "hugetlb")
}

// hasIOCost reports whether io.cost accounts the time of a block device of the host.
func hasIOCost(h *cgroup.Host) bool {
	if h.Mode != cgroup.Unified {
		return false
	}
	qos, _ := os.ReadFile(filepath.Join(h.Root, "io.cost.qos")) // none without the file
	return slices.Contains(strings.Fields(string(qos)), "enable=1")
}

func hugetlbFamilies() []family {
	huge := func(name, help string, read func(*Hugetlb) uint64) family {
		return family{name: name, help: help, kind: gauge, labels: []string{"pagesize"}, given: hasHugetlb, both: func(m *measured, out emit) {
			for i := range m.Hugetlb {
				out(float64(read(&m.Hugetlb[i])), m.Hugetlb[i].PageSize)
			}
		}}
	}
	return []family{
		huge("container_hugetlb_usage_bytes", "Huge pages in use.", func(h *Hugetlb) uint64 { return h.Usage }),
		huge("container_hugetlb_max_usage_bytes", "Largest use of huge pages so far.", func(h *Hugetlb) uint64 { return h.Peak }),
		huge("container_hugetlb_failcnt", "Allocations of huge pages refused for the limit.", func(h *Hugetlb) uint64 { return h.Failures }),
	}
}

func pressureFamilies() []family {
	var out []family
	for _, r := range []struct {
		name string
		of   func(*Pressure) *Stall
	}{
		{"cpu", func(p *Pressure) *Stall { return p.CPU }},
		{"memory", func(p *Pressure) *Stall { return p.Memory }},
		{"io", func(p *Pressure) *Stall { return p.IO }},
	} {
		stall := func(suffix, help string, read func(*Stall) uint64) family {
			return family{name: "container_pressure_" + r.name + suffix, help: help, kind: counter, both: func(m *measured, out emit) {
				if m.Pressure != nil && r.of(m.Pressure) != nil {
					out(seconds(read(r.of(m.Pressure))))
				}
			}}
		}
		out = append(out,
			stall("_waiting_seconds_total", "Time in seconds that at least one task waited for "+r.name+".",
				func(s *Stall) uint64 { return s.Some.Total }),
			stall("_stalled_seconds_total", "Time in seconds that all tasks at once waited for "+r.name+".",
				func(s *Stall) uint64 { return s.Full.Total }))
	}
	return out
}
