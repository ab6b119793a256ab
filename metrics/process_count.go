package metrics

// processes counts those of a container: for itself, and for its pod.
func (w *work) processes(f *files, c *containerSample) {
	m := &c.measured
	if m.group == nil || w.depth&(podStats|details) == 0 || m.counted() {
		return
	}
	if m.Pids != nil && m.Pids.Threads == 1 && !m.Pids.Alone {
		m.setProcesses(1) // which is the cheaper file
		return
	}
	n, err := countProcesses(f, m.group.dir("pids"))
	w.count("pids", err)
	if err == nil {
		m.setProcesses(n)
	}
}

// podProcesses counts those of a pod. What its containers have is counted there already, and
// as long as there is nothing else below the pod, that is added up in the end.
func (w *work) podProcesses(f *files, p *podSample) {
	m := &p.measured
	if m.group == nil || w.depth&podStats == 0 || m.counted() {
		return
	}
	dir := m.group.dir("pids")
	own, below, err := processesOf(f, dir)
	if err == nil && below == p.cgroups() {
		p.own = &own
		return
	}
	if err == nil {
		own, err = countProcesses(f, dir)
	}
	w.count("pids", err)
	if err == nil {
		m.setProcesses(own)
	}
}

// cgroups is how many of a pod's containers have a cgroup.
func (p *podSample) cgroups() int {
	n := 0
	for _, c := range p.containers {
		if c.group != nil {
			n++
		}
	}
	return n
}

// countProcesses ends the count of a pod when its containers' are known.
func (p *podSample) countProcesses() {
	if p.own == nil {
		return
	}
	n := *p.own
	for _, c := range p.containers {
		if c.Pids != nil {
			n += c.Pids.Processes
		}
	}
	p.setProcesses(n)
}

// counted tells that the pass that is being completed did this, or that nothing has changed
// since somebody did.
func (m *measured) counted() bool {
	if m.Pids == nil && m.group.isStill(&m.Sample) {
		m.group.still.givePids(&m.Sample)
	}
	return m.Pids != nil && m.Pids.Processes > 0
}

// setProcesses is without the controller's figures until those are read.
func (m *measured) setProcesses(n uint64) {
	if m.Pids == nil {
		m.Pids = &Pids{Alone: true}
	}
	m.Pids.Processes = n
	m.group.still.pids.Processes = n
}

// processesOf counts those in a cgroup itself, and the cgroups below it.
func processesOf(f *files, dir *directory) (processes uint64, below int, err error) {
	if processes, err = countIn(f, dir); err != nil {
		return 0, 0, err
	}
	return processes, dir.below(), nil
}
