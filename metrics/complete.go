package metrics

import "time"

// complete makes a deeper pass out of one that is young enough, by reading what that does
// not have: what both have is the same to the digit, and together they cost one pass. The
// one before is left as it is, for those who read it.
func (s *Sampler) complete(before *pass, d depth) *pass {
	start := time.Now()
	p := before.copy()
	w := &work{s: s, prev: before, depth: d}
	w.budget.Store(int64(slowBudget))
	w.each(p, w.addToPod, w.addToContainer)
	w.sumUp(p)
	p.took, p.depth = before.took+time.Since(start), d
	return p
}

func (w *work) addToPod(f *files, p *podSample) {
	if w.prev.depth&podStats == 0 {
		w.podItself(f, p)
	} else {
		w.add(f, &p.measured, 0)
		w.countPod(f, p)
	}
	for _, c := range p.containers {
		w.addToContainer(f, c)
	}
}

func (w *work) addToContainer(f *files, c *containerSample) {
	w.logs(c)
	w.add(f, &c.measured, c.ref.InitPID)
	w.countContainer(f, c)
}

// copy is a pass that can be added to.
func (p *pass) copy() *pass {
	out := &pass{
		at:      p.at,
		podByID: make(map[string]*podSample, len(p.pods)), ctrByID: make(map[string]*containerSample, len(p.containers)),
	}
	for _, old := range p.pods {
		pod := &podSample{
			measured: old.copy(), ref: old.ref, interfaces: old.interfaces, networkAt: old.networkAt, net: old.net,
		}
		// These are summed up again.
		if pod.group == nil {
			pod.Sample = Sample{}
		} else if pod.Memory != nil {
			pod.Memory.OOMKills = 0
		}
		out.pods = append(out.pods, pod)
		out.podByID[pod.ref.ID] = pod
	}
	for _, old := range p.containers {
		c := &containerSample{
			measured: old.copy(), ref: old.ref, pod: out.podByID[old.ref.PodID], layer: old.layer, fs: old.fs, logs: old.logs,
		}
		if c.pod != nil {
			c.pod.containers = append(c.pod.containers, c)
		}
		out.containers = append(out.containers, c)
		out.ctrByID[c.ref.ID] = c
	}
	return out
}

// add reads the details of what was measured.
func (w *work) add(f *files, m *measured, init uint32) {
	if w.depth&^w.prev.depth&details == 0 || m.group == nil || m.byShim || m.CPU == nil && m.Memory == nil {
		return // there is nothing more, or it had vanished
	}
	w.readDetails(f, m)
	w.slowly(f, m, init)
}

// copy is one that can be added to.
func (m *measured) copy() measured {
	c := *m
	if m.CPU != nil {
		cpu := *m.CPU
		c.CPU = &cpu
	}
	if m.Memory != nil {
		memory := *m.Memory
		c.Memory = &memory
	}
	if m.Pids != nil {
		pids := *m.Pids
		c.Pids = &pids
	}
	return c
}
