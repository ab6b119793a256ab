package metrics

import "time"

// sumUp makes a pod's figures of its containers' where it has no cgroup of its own.
func (p *podSample) sumUp() {
	if p.group == nil {
		for _, c := range p.containers {
			p.add(&c.Sample)
		}
	}
	p.sumProcesses()
	p.sumKills()
}

// sumProcesses adds up what is only looked at in containers; a container without such
// figures leaves the pod without them.
func (p *podSample) sumProcesses() {
	sum := &Processes{}
	n := 0
	for _, c := range p.containers {
		if !c.running() {
			continue
		}
		if c.slow.procs == nil {
			return
		}
		n++
		sum.Descriptors += c.slow.procs.Descriptors
		sum.Sockets += c.slow.procs.Sockets
	}
	if n > 0 {
		p.slow.procs = sum
	}
}

// sumKills adds the kills of containers to the pod's own, which the kernel does on v2, where
// the pod's cgroup also outlives its containers'.
func (p *podSample) sumKills() {
	if p.group == nil || p.group.unified || p.Memory == nil {
		return
	}
	for _, c := range p.containers {
		switch {
		case !c.running():
			p.Memory.OOMKills += c.ref.OOMKills
		case c.Memory != nil:
			p.Memory.OOMKills += c.Memory.OOMKills
		}
	}
}

// add adds what can be added up: PSI and limits cannot, and disks are in the containers.
func (p *podSample) add(c *Sample) {
	if c.CPU != nil {
		if p.CPU == nil {
			p.CPU = &CPU{At: time.Now()}
		}
		p.CPU.At = c.CPU.At
		p.CPU.Usage += c.CPU.Usage
		p.CPU.User += c.CPU.User
		p.CPU.System += c.CPU.System
	}
	if c.Memory != nil {
		if p.Memory == nil {
			p.Memory = &Memory{}
		}
		p.Memory.add(c.Memory)
	}
	if c.Pids != nil {
		if p.Pids == nil {
			p.Pids = &Pids{}
		}
		p.Pids.Threads += c.Pids.Threads
		p.Pids.Processes += c.Pids.Processes
		p.Pids.Alone = c.Pids.Alone
	}
}

func (m *Memory) add(c *Memory) {
	m.Usage += c.Usage
	m.WorkingSet += c.WorkingSet
	m.RSS += c.RSS
	m.Cache += c.Cache
	m.MappedFile += c.MappedFile
	m.InactiveFile += c.InactiveFile
	m.Kernel += c.Kernel
	m.Swap += c.Swap
	m.SwapOff = c.SwapOff
	m.Faults += c.Faults
	m.MajorFaults += c.MajorFaults
	m.OOMKills += c.OOMKills
	m.ActiveFile += c.ActiveFile
	m.OwnFaults += c.OwnFaults
	m.OwnMajorFaults += c.OwnMajorFaults
}
