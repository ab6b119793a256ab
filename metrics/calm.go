package metrics

import "time"

// calm is what is known of one resource's stalls in a cgroup.
type calm struct {
	stall *Stall // as it was read last; nil while there is none
	// since is when its total was read first, at when it was read last; both before the reading.
	since, at time.Time
}

// see takes note of what was read from a time on, nil when nothing was.
func (c *calm) see(s *Stall, at time.Time) {
	if s == nil {
		*c = calm{}
		return
	}
	if c.stall == nil || *s != *c.stall {
		c.since = at
	}
	c.stall, c.at = s, at
}

// calms tells that the stalls of a resource are what they were: the total, and averages that have
// run out. It is made sure of after stillAge.
//
// A task has to run before it waits for memory or a disk. So where nothing ran since a total was read,
// which was the same once more when averages had followed, nothing waits. One that waits for a processor need
// not have run. And where nothing waited in a whole pod, nothing did in its containers.
func (g *group) calms(resource int) bool {
	c := &g.calm[resource]
	if !c.none() || c.at.Sub(c.since) < settleAge || time.Since(c.at) >= stillAge {
		return false
	}
	if resource != stallCPU && g.ran.Before(c.since) {
		return true
	}
	return g.pod != nil && g.pod.calm[resource].none() && g.pod.calm[resource].since.Before(c.at)
}

// none tells that nothing has waited of late, as far as the averages go.
func (c *calm) none() bool {
	return c.stall != nil && c.stall.Some.ranOut() && c.stall.Full.ranOut()
}

func (t *StallTime) ranOut() bool { return t.Avg10 == 0 && t.Avg60 == 0 && t.Avg300 == 0 }
