package metrics

import (
	"strings"
	"time"
)

// basics are figures of CRI's stats as they were read last.
type basics struct {
	cpu    CPU
	memory Memory    // without details and limits
	at     time.Time // before memory was read; zero while there is none
}

// holds notes whether a cgroup holds as much memory as before, and tells whether it is then also
// made up as before: nothing ran since that was read, less than stillAge ago. Others than the cgroup's own
// tasks only take pages away, or find that they have not been used of late.
func (g *group) holds(usage uint64) bool {
	if g.basics.at.IsZero() || usage != g.basics.memory.Usage {
		g.moved = time.Now()
	}
	return g.unmoved(g.basics.at)
}

// unmoved tells that nothing ran, and no memory came or went, since a time less than stillAge ago.
func (g *group) unmoved(since time.Time) bool {
	return g.ran.Before(since) && g.moved.Before(since) && time.Since(since) < stillAge
}

// within notes which cgroup that this pass has read already contains this one: its pod's, or none.
func (w *work) within(g *group, pod *podSample) {
	g.pod = nil
	if pod != nil && pod.group != nil && w.depth&podStats != 0 && pod.CPU != nil && pod.Memory != nil && g.below(pod.group) {
		g.pod = pod.group
	}
}

// quiet tells that a container's processor time and memory are what they were, since its pod's are,
// which contain them: an idle pod's containers need not be asked.
func (g *group) quiet() bool {
	return g.pod != nil && g.pod.unmoved(g.basics.at)
}

// below tells that a cgroup is in another one.
func (g *group) below(other *group) bool {
	at, above := g.dir("memory"), other.dir("memory")
	return at != nil && above != nil && len(at.path) > len(above.path) &&
		strings.HasPrefix(at.path, above.path) && at.path[len(above.path)] == '/'
}

// give puts what is kept into a sample, with the time of the pod's.
func (g *group) give(f *files, s *Sample) error {
	cpu, memory := g.basics.cpu, g.basics.memory
	cpu.At = g.pod.basics.cpu.At
	s.CPU = &cpu
	if err := g.limit(f, &memory); err != nil {
		return err
	}
	s.Memory = &memory
	return nil
}
