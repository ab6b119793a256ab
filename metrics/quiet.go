package metrics

import (
	"strings"
	"time"
)

// settleAge is how long after something ran the kernel may still bring figures up to date: PSI's averages
// and memory.stat follow every two seconds.
const settleAge = 5 * time.Second

// basics are figures of CRI's stats as they were read last.
type basics struct {
	cpu    CPU
	memory Memory // as CRI's stats have it, but for limits
	// at is before cpu and the usage of memory were read, stat before memory.stat was; zero
	// while there is nothing.
	at, stat time.Time
}

// littleCache is how much page cache, in bytes, matters to nobody.
const littleCache = 1 << 20

// holds notes whether a cgroup holds as much memory as before, and tells whether it is then also taken to be
// made up as before: nothing ran since that was read, not long ago. Others change that, too, but only of the page
// cache: the kernel looks for pages that are not used any more, and pages of files may be used by all.
func (g *group) holds(usage uint64) bool {
	if g.basics.stat.IsZero() || usage != g.basics.memory.Usage {
		g.moved = time.Now()
	}
	age := slowAge
	if g.basics.memory.Cache < littleCache {
		age = stillAge
	}
	return g.unmoved(g.basics.stat.Add(-settleAge)) && time.Since(g.basics.stat) < age
}

// unmoved tells that nothing ran since a time, and that no memory came or went.
func (g *group) unmoved(since time.Time) bool {
	return g.ran.Before(since) && g.moved.Before(since)
}

// within notes which cgroup that this pass has read already contains this one, its pod's or none, and whether
// processor time and memory are what they were, since the pod's are: an idle pod's containers
// need not be asked.
func (w *work) within(g *group, pod *podSample) {
	g.pod = nil
	if pod != nil && pod.group != nil && w.depth&podStats != 0 && pod.CPU != nil && pod.Memory != nil && g.below(pod.group) {
		g.pod = pod.group
	}
	g.quiet = g.pod != nil && g.pod.unmoved(g.basics.at) && time.Since(g.basics.at) < stillAge
}

// below tells that a cgroup is in another one.
func (g *group) below(other *group) bool {
	at, above := g.dir("memory"), other.dir("memory")
	return at != nil && above != nil && len(at.path) > len(above.path) &&
		strings.HasPrefix(at.path, above.path) && at.path[len(above.path)] == '/'
}
