package metrics

import "time"

// processes are counted in cgroup.procs: CRI's stats have no more of a pod's tasks.
type processes struct {
	// own is how many there are in the cgroup itself for a pod, and with those below for
	// a container; below is how many cgroups there are right below.
	own   uint64
	below int
	at    time.Time // before they were counted
}

// countContainer counts a container's, for itself and for its pod. A cgroup that vanishes meanwhile
// has no tasks at all to show.
func (w *work) countContainer(f *files, c *containerSample) {
	m := &c.measured
	if m.group == nil || w.depth&(podStats|details) == 0 || m.byShim || m.counted {
		return
	}
	if m.Pids != nil && m.Pids.Threads == 1 {
		m.setProcesses(1) // which is the cheaper file
		return
	}
	kept := &m.group.processes
	if !m.group.idleSince(kept.at, stillAge) {
		at := time.Now()
		n, err := countBelow(f, m.group.dir("pids"))
		w.count("pids", err)
		if err != nil {
			m.Pids = nil
			return
		}
		*kept = processes{own: n, at: at}
	}
	m.setProcesses(kept.own)
}

// countPod counts those of a pod that are in none of its containers.
func (w *work) countPod(f *files, p *podSample) {
	m := &p.measured
	if m.group == nil || w.depth&podStats == 0 || m.counted {
		return
	}
	kept := &m.group.processes
	if !m.group.idleSince(kept.at, stillAge) {
		at, dir := time.Now(), m.group.dir("pids")
		n, err := countIn(f, dir)
		w.count("pids", err)
		if err != nil {
			m.Pids = nil
			return
		}
		*kept = processes{own: n, below: dir.below(), at: at}
	}
	p.outside = kept
}

// sumProcesses adds up a pod's when those of its containers are known. Where there are other
// cgroups than theirs, all of them are looked at.
func (w *work) sumProcesses(p *podSample) {
	if p.outside == nil {
		return
	}
	n, counted := p.outside.own, 0
	for _, c := range p.containers {
		if c.counted {
			n += c.Pids.Processes
			counted++
		}
	}
	if counted != p.outside.below {
		var err error
		if n, err = countBelow(w.s.files[0], p.group.dir("pids")); err != nil {
			w.count("pids", err)
			p.Pids = nil
			return
		}
	}
	p.setProcesses(n)
}

// setProcesses is without the controller's figures unless those were read.
func (m *measured) setProcesses(n uint64) {
	if m.Pids == nil {
		m.Pids = &Pids{Alone: true}
	}
	m.Pids.Processes, m.counted = n, true
}
