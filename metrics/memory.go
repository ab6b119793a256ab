package metrics

import "time"

// Memory is what a cgroup and all below it holds, in bytes, and its events.
type Memory struct {
	// Usage is all memory charged, Peak its maximum (0 where the kernel keeps none),
	// Limit the limit (0 is none).
	Usage, Peak, Limit uint64
	// WorkingSet is Usage without the file pages that were not used lately.
	WorkingSet uint64
	// RSS is anonymous memory, Cache pages of files (shared memory too), MappedFile those of
	// them that are mapped, ActiveFile and InactiveFile those used and not used lately, Kernel
	// the kernel's own.
	RSS, Cache, MappedFile, ActiveFile, InactiveFile, Kernel uint64
	// Swap is swap in use, SwapLimit its limit (0 is none). SwapOff: nothing may be swapped,
	// or the kernel does not count swap.
	Swap, SwapLimit uint64
	SwapOff         bool
	// Faults and MajorFaults count page faults; a major one had to wait for a disk.
	Faults, MajorFaults uint64
	// OwnFaults and OwnMajorFaults leave out the cgroups below, which v2 cannot: there they
	// are the same as Faults and MajorFaults.
	OwnFaults, OwnMajorFaults uint64
	// LimitHits counts how often Limit was reached, OOMKills the processes killed for it.
	LimitHits, OOMKills uint64
}

func readMemory(f *files, g *group, s *Sample) error {
	m, err := g.readMemory(f)
	if err == nil {
		err = g.limit(f, m)
	}
	if err != nil {
		g.basics.at = time.Time{} // nothing is known without this part
		return err
	}
	s.Memory = m
	return nil
}

// readMemory reads what there is to read: nothing of a container whose pod is as it was, and how
// much there is where that tells that it is also made up as before.
func (g *group) readMemory(f *files) (*Memory, error) {
	usage, read := "memory.usage_in_bytes", readMemory1
	if g.unified {
		usage, read = "memory.current", readMemory2
	}
	used := g.basics.memory.Usage
	if !g.quiet {
		var err error
		if used, err = f.value(g.dir("memory"), usage); err != nil {
			return nil, err
		}
	}
	if g.holds(used) {
		m := g.basics.memory
		return &m, nil
	}
	m, at := &Memory{Usage: used}, time.Now()
	if err := read(f, g.dir("memory"), m); err != nil {
		g.basics.stat = time.Time{}
		return nil, err
	}
	m.workingSet()
	g.basics.memory, g.basics.stat = *m, at
	return m, nil
}

// readMemoryDetails reads what CRI's stats do not have: peaks, and events.
func readMemoryDetails(f *files, g *group, s *Sample) error {
	if s.Memory == nil {
		return nil
	}
	read := memoryDetails1
	if g.unified {
		read = memoryDetails2
	}
	if err := read(f, g.dir("memory"), s.Memory); !vanished(err) {
		return err
	}
	return nil
}

func (m *Memory) workingSet() { m.WorkingSet = m.Usage - min(m.Usage, m.InactiveFile) }

// readMemory1 follows Documentation/admin-guide/cgroup-v1/memory.rst: the total_ values
// include the descendants, as usage_in_bytes does.
func readMemory1(f *files, dir *directory, m *Memory) error {
	return f.keyed(dir, "memory.stat", func(key []byte, v uint64) {
		switch string(key) {
		case "total_rss":
			m.RSS = v
		case "total_cache":
			m.Cache = v
		case "total_mapped_file":
			m.MappedFile = v
		case "total_inactive_file":
			m.InactiveFile = v
		case "total_swap":
			m.Swap = v
		case "total_active_file":
			m.ActiveFile = v
		case "total_pgfault":
			m.Faults = v
		case "total_pgmajfault":
			m.MajorFaults = v
		case "pgfault":
			m.OwnFaults = v
		case "pgmajfault":
			m.OwnMajorFaults = v
		}
	})
}

func memoryDetails1(f *files, dir *directory, m *Memory) error {
	var err error
	if m.Peak, err = f.optional(dir, "memory.max_usage_in_bytes"); err != nil {
		return err
	}
	if m.LimitHits, err = f.optional(dir, "memory.failcnt"); err != nil {
		return err
	}
	if m.Kernel, err = f.optional(dir, "memory.kmem.usage_in_bytes"); err != nil {
		return err
	}
	return f.keyed(dir, "memory.oom_control", func(key []byte, v uint64) {
		if string(key) == "oom_kill" {
			m.OOMKills = v
		}
	})
}

// readMemory2 follows Documentation/admin-guide/cgroup-v2.rst, where all is hierarchical.
func readMemory2(f *files, dir *directory, m *Memory) error {
	err := f.keyed(dir, "memory.stat", func(key []byte, v uint64) {
		switch string(key) {
		case "anon":
			m.RSS = v
		case "file":
			m.Cache = v
		case "file_mapped":
			m.MappedFile = v
		case "active_file":
			m.ActiveFile = v
		case "inactive_file":
			m.InactiveFile = v
		case "kernel":
			m.Kernel = v
		case "pgfault":
			m.Faults, m.OwnFaults = v, v
		case "pgmajfault":
			m.MajorFaults, m.OwnMajorFaults = v, v
		}
	})
	if err != nil {
		return err
	}
	// The kernel counts swap only when it is configured.
	m.Swap, err = f.optional(dir, "memory.swap.current")
	return err
}

func memoryDetails2(f *files, dir *directory, m *Memory) error {
	var err error
	if m.Peak, err = f.optional(dir, "memory.peak"); err != nil {
		return err
	}
	return f.keyed(dir, "memory.events", func(key []byte, v uint64) {
		switch string(key) {
		case "max":
			m.LimitHits = v
		case "oom_kill":
			m.OOMKills = v
		}
	})
}
