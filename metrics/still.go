package metrics

import "time"

// stillAge is how old the details of a cgroup may get in which nothing runs.
const stillAge = time.Minute

// still keeps the details that only what runs in a cgroup can change: how often it was held up or
// hit a limit, its processes, its peak. As long as it uses no processor time and holds as much
// memory as before they are what they were, and most containers do nothing most of the time:
// there half of the files need not be opened. Disks and stalls are not among these details,
// since pages are written back, and tasks wait, without the cgroup's own time.
type still struct {
	at                        time.Time // zero while nothing is kept
	usage, memory             uint64
	cpu                       CPU
	peak, hits, kills, kernel uint64
	pids                      Pids
	hugetlb                   []Hugetlb
}

// holds tells whether a sample, of which CPU and memory were read anew, has the details kept.
func (k *still) holds(s *Sample) bool {
	return !k.at.IsZero() && s.CPU != nil && s.Memory != nil &&
		s.CPU.Usage == k.usage && s.Memory.Usage == k.memory && time.Since(k.at) < stillAge
}

// keep takes the details out of a sample that has them all.
func (k *still) keep(s *Sample) {
	c, m := s.CPU, s.Memory
	if c == nil || m == nil {
		return
	}
	*k = still{
		at: time.Now(), usage: c.Usage, memory: m.Usage,
		cpu: *c, peak: m.Peak, hits: m.LimitHits, kills: m.OOMKills, kernel: m.Kernel,
		hugetlb: s.Hugetlb,
	}
	if s.Pids != nil {
		k.pids = *s.Pids
	}
}

// give puts the details into a sample. On v2 some are in files that are read at every pass.
func (k *still) give(s *Sample, unified bool) {
	m := s.Memory
	m.Peak, m.LimitHits, m.OOMKills = k.peak, k.hits, k.kills
	if !unified {
		m.Kernel = k.kernel
		at := s.CPU.At
		*s.CPU = k.cpu
		s.CPU.At = at
	}
	s.Hugetlb = k.hugetlb
	k.givePids(s)
}

// givePids is for CRI's stats, which have of all this a pod's processes.
func (k *still) givePids(s *Sample) {
	pids := k.pids
	s.Pids = &pids
}
