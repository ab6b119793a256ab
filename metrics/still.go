package metrics

import "time"

// stillAge is how old what is known of a cgroup may get while nothing runs there.
const stillAge = time.Minute

// keeping is for how long a detail need not be read again while nothing runs in its cgroup.
type keeping int

const (
	// keepNot is for what others change: pages are written back without the cgroup's own time.
	keepNot keeping = iota
	// keepSoon is for what others change now and then: limits, zombies that somebody else reaps,
	// huge pages of a file that is shared. It is renewed after slowAge.
	keepSoon
	// keepLong is for what only running code changes: how often it was held up or hit a limit,
	// its peak. It is renewed after stillAge.
	keepLong
	keepings
)

func (k keeping) age() time.Duration {
	if k == keepLong {
		return stillAge
	}
	return slowAge
}

// still keeps such details. As long as a cgroup uses no processor time and holds as much memory
// as before they are what they were, and most containers do nothing most of the time: there
// most files need not be opened.
type still struct {
	at                                [keepings]time.Time // zero while nothing is kept
	cpu                               CPU
	memory, peak, hits, kills, kernel uint64
	pids                              *Pids // without Processes; nil without the controller
	hugetlb                           []Hugetlb
}

// see notes whether something ran since the processor time was read before; at is before it was read now,
// and nil means that it could not be.
func (g *group) see(c *CPU, at time.Time) {
	if c == nil || g.ran.IsZero() || c.Usage != g.basics.cpu.Usage {
		g.ran = time.Now()
	}
	g.basics.at = time.Time{}
	if c != nil {
		g.basics.cpu, g.basics.at = *c, at
	}
}

// idleSince tells that nothing ran since a time that is not longer ago than an age. What was
// read after that time is still so.
func (g *group) idleSince(t time.Time, age time.Duration) bool {
	return g != nil && g.ran.Before(t) && time.Since(t) < age
}

// keeps tells whether a sample, of which CPU and memory were read anew, has the details kept.
func (g *group) keeps(k keeping, s *Sample) bool {
	return k != keepNot && s.CPU != nil && s.Memory != nil && s.Memory.Usage == g.still.memory &&
		g.idleSince(g.still.at[k], k.age())
}

// keep takes details out of a sample into which they were read from a time on.
func (k *still) keep(what keeping, s *Sample, at time.Time) {
	if what == keepNot || s.CPU == nil || s.Memory == nil {
		return
	}
	k.at[what], k.memory = at, s.Memory.Usage
	switch what {
	case keepLong:
		m := s.Memory
		k.cpu, k.peak, k.hits, k.kills, k.kernel = *s.CPU, m.Peak, m.LimitHits, m.OOMKills, m.Kernel
	case keepSoon:
		k.hugetlb, k.pids = s.Hugetlb, nil
		if s.Pids != nil && !s.Pids.Alone {
			k.pids = &Pids{Threads: s.Pids.Threads, Limit: s.Pids.Limit}
		}
	}
}

// give puts details into a sample. On v2 some are in files that are read at every pass.
func (k *still) give(what keeping, s *Sample, unified bool) {
	switch what {
	case keepLong:
		m := s.Memory
		m.Peak, m.LimitHits, m.OOMKills = k.peak, k.hits, k.kills
		if !unified {
			m.Kernel = k.kernel
			at := s.CPU.At
			*s.CPU = k.cpu
			s.CPU.At = at
		}
	case keepSoon:
		s.Hugetlb = k.hugetlb
		if k.pids != nil {
			pids := *k.pids
			if s.Pids != nil {
				pids.Processes = s.Pids.Processes
			}
			s.Pids = &pids
		}
	}
}
