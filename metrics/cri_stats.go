package metrics

import (
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// stats turns a sample into CRI's message, once for all who ask: it must not be changed.
func (c *containerSample) stats() *runtimeapi.ContainerStats {
	c.statsOnce.Do(func() { c.statsOf = c.makeStats() })
	return c.statsOf
}

func (p *podSample) stats() *runtimeapi.PodSandboxStats {
	p.statsOnce.Do(func() { p.statsOf = p.makeStats() })
	return p.statsOf
}

// makeStats leaves unset what the kernel did not give.
func (c *containerSample) makeStats() *runtimeapi.ContainerStats {
	at := c.at.UnixNano()
	st := &runtimeapi.ContainerStats{
		Attributes: &runtimeapi.ContainerAttributes{
			Id: c.ref.ID, Metadata: c.ref.Metadata, Labels: c.ref.Labels, Annotations: c.ref.Annotations,
		},
		Cpu:    c.cpuUsage(),
		Memory: c.memoryUsage(at),
		Swap:   c.swapUsage(at),
		Io:     c.ioUsage(at),
	}
	if c.layer != nil {
		st.WritableLayer = &runtimeapi.FilesystemUsage{
			Timestamp:  c.layer.At.UnixNano(),
			UsedBytes:  val(c.layer.Bytes),
			InodesUsed: val(c.layer.Inodes),
			FsId:       &runtimeapi.FilesystemIdentifier{Mountpoint: c.layer.Mountpoint},
		}
	}
	return st
}

func (p *podSample) makeStats() *runtimeapi.PodSandboxStats {
	at := p.at.UnixNano()
	st := &runtimeapi.PodSandboxStats{
		Attributes: &runtimeapi.PodSandboxAttributes{
			Id: p.ref.ID, Metadata: p.ref.Metadata, Labels: p.ref.Labels, Annotations: p.ref.Annotations,
		},
		Linux: &runtimeapi.LinuxPodSandboxStats{
			Cpu:     p.cpuUsage(),
			Memory:  p.memoryUsage(at),
			Network: p.networkUsage(),
			Io:      p.ioUsage(at),
		},
	}
	if p.Pids != nil {
		st.Linux.Process = &runtimeapi.ProcessUsage{Timestamp: at, ProcessCount: val(p.Pids.Processes)}
	}
	for _, c := range p.containers {
		if c.running() {
			st.Linux.Containers = append(st.Linux.Containers, c.stats())
		}
	}
	return st
}

func (m *measured) cpuUsage() *runtimeapi.CpuUsage {
	if m.CPU == nil {
		return nil
	}
	u := &runtimeapi.CpuUsage{Timestamp: m.CPU.At.UnixNano(), UsageCoreNanoSeconds: val(m.CPU.Usage)}
	if m.nanoCores != nil {
		u.UsageNanoCores = val(*m.nanoCores)
	}
	if m.Pressure != nil {
		u.Psi = m.Pressure.CPU.stats()
	}
	return u
}

func (m *measured) memoryUsage(at int64) *runtimeapi.MemoryUsage {
	mem := m.Memory
	if mem == nil {
		return nil
	}
	u := &runtimeapi.MemoryUsage{
		Timestamp:       at,
		WorkingSetBytes: val(mem.WorkingSet),
		UsageBytes:      val(mem.Usage),
		RssBytes:        val(mem.RSS),
		PageFaults:      val(mem.Faults),
		MajorPageFaults: val(mem.MajorFaults),
	}
	if mem.Limit > 0 {
		u.AvailableBytes = val(mem.Limit - min(mem.Limit, mem.WorkingSet))
	}
	if m.Pressure != nil {
		u.Psi = m.Pressure.Memory.stats()
	}
	return u
}

func (m *measured) swapUsage(at int64) *runtimeapi.SwapUsage {
	mem := m.Memory
	if mem == nil {
		return nil
	}
	u := &runtimeapi.SwapUsage{Timestamp: at, SwapUsageBytes: val(mem.Swap)}
	switch {
	case mem.SwapOff:
		u.SwapAvailableBytes = val(0)
	case mem.SwapLimit > 0:
		u.SwapAvailableBytes = val(mem.SwapLimit - min(mem.SwapLimit, mem.Swap))
	}
	return u
}

// ioUsage is PSI alone: CRI has no other figure of block devices.
func (m *measured) ioUsage(at int64) *runtimeapi.IoUsage {
	if m.Pressure == nil || m.Pressure.IO == nil {
		return nil
	}
	return &runtimeapi.IoUsage{Timestamp: at, Psi: m.Pressure.IO.stats()}
}

func (p *podSample) networkUsage() *runtimeapi.NetworkUsage {
	if p.networkAt.IsZero() {
		return nil
	}
	u := &runtimeapi.NetworkUsage{Timestamp: p.networkAt.UnixNano()}
	def := p.defaultInterface()
	for _, i := range p.interfaces {
		if i.Name == "lo" {
			continue // what a pod says to itself is no traffic
		}
		usage := &runtimeapi.NetworkInterfaceUsage{
			Name:    i.Name,
			RxBytes: val(i.RxBytes), RxErrors: val(i.RxErrors),
			TxBytes: val(i.TxBytes), TxErrors: val(i.TxErrors),
		}
		if i.Name == def {
			u.DefaultInterface = usage
		} else {
			u.Interfaces = append(u.Interfaces, usage)
		}
	}
	return u
}

// defaultInterface is the name of the interface with the pod's IP.
func (p *podSample) defaultInterface() string {
	if p.ref.DefaultInterface != "" {
		return p.ref.DefaultInterface
	}
	return "eth0"
}

func (s *Stall) stats() *runtimeapi.PsiStats {
	if s == nil {
		return nil
	}
	data := func(t StallTime) *runtimeapi.PsiData {
		return &runtimeapi.PsiData{Total: t.Total, Avg10: t.Avg10, Avg60: t.Avg60, Avg300: t.Avg300}
	}
	return &runtimeapi.PsiStats{Full: data(s.Full), Some: data(s.Some)}
}

func val(v uint64) *runtimeapi.UInt64Value { return &runtimeapi.UInt64Value{Value: v} }

// seconds turns nanoseconds into Prometheus' base unit.
func seconds(ns uint64) float64 { return float64(ns) / float64(time.Second) }
