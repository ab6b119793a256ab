package metrics

import "time"

// stillAge is how old what is known of a cgroup may get while nothing runs there.
const stillAge = time.Minute

// still keeps the details that only what runs in a cgroup can change: how often it was held up or
// hit a limit, its processes, its peak. As long as it uses no processor time and holds as much
// memory as before they are what they were, and most containers do nothing most of the time:
// there half of the files need not be opened. Stalls are not among these details, nor are disks
// on v2, since tasks wait, and pages are written back, without the cgroup's own time.
type still struct {
	at                                time.Time // zero while nothing is kept
	cpu                               CPU
	memory, peak, hits, kills, kernel uint64
	pids                              Pids
	hugetlb                           []Hugetlb
}

// see notes whether something ran since the processor time was read before.
func (g *group) see(s *Sample) {
	if s.CPU == nil || g.ran.IsZero() || s.CPU.Usage != g.usage {
		g.ran = time.Now()
	}
	if s.CPU != nil {
		g.usage = s.CPU.Usage
	}
}

// idleSince tells that nothing ran since a time that is not too long ago: what was read then
// is still so.
func (g *group) idleSince(t time.Time) bool {
	return g != nil && g.ran.Before(t) && time.Since(t) < stillAge
}

// isStill tells whether a sample, of which CPU and memory were read anew, has the details kept.
func (g *group) isStill(s *Sample) bool {
	return s.CPU != nil && s.Memory != nil && s.Memory.Usage == g.still.memory && g.idleSince(g.still.at)
}

// keep takes the details out of a sample that has them all.
func (k *still) keep(s *Sample) {
	c, m := s.CPU, s.Memory
	if c == nil || m == nil {
		return
	}
	*k = still{
		at: time.Now(), cpu: *c,
		memory: m.Usage, peak: m.Peak, hits: m.LimitHits, kills: m.OOMKills, kernel: m.Kernel,
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
