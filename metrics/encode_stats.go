package metrics

import (
	"bytes"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/berth-run/berth/internal/index"
)

// Field numbers of CRI's PodSandboxStats and ContainerStats,
const (
	podStatsAttributes, podStatsLinux                         = 1, 2
	linuxCPU, linuxMemory, linuxNetwork, linuxProcess         = 1, 2, 3, 4
	linuxContainers, linuxIO                                  = 5, 6
	ctrStatsAttributes, ctrStatsCPU, ctrStatsMemory           = 1, 2, 3
	ctrStatsLayer, ctrStatsSwap, ctrStatsIO                   = 4, 5, 6
	attributesID, attributesMetadata                          = 1, 2
	attributesLabels, attributesAnnotations                   = 3, 4
	podMetaName, podMetaUID, podMetaNamespace, podMetaAttempt = 1, 2, 3, 4
	ctrMetaName, ctrMetaAttempt                               = 1, 2
)

// and of what they have in them. All of that begins with a timestamp.
const (
	timestamp = 1

	cpuUsage, cpuRate, cpuPSI                          = 2, 3, 4
	memoryWorkingSet, memoryAvailable, memoryUsage     = 2, 3, 4
	memoryRSS, memoryFaults, memoryMajorFaults         = 5, 6, 7
	memoryPSI                                          = 8
	swapAvailable, swapUsage                           = 2, 3
	ioPSI                                              = 2
	psiFull, psiSome                                   = 1, 2
	psiTotal, psiAvg10, psiAvg60, psiAvg300            = 1, 2, 3, 4
	networkDefault, networkOthers                      = 2, 3
	interfaceName                                      = 1
	interfaceRxBytes, interfaceRxErrors                = 2, 3
	interfaceTxBytes, interfaceTxErrors                = 4, 5
	processCount                                       = 2
	layerFilesystem, layerBytes, layerInodes, fsOfPath = 2, 3, 4, 1
)

// entry is what a list shows of a container, encoded once for all who ask. As messages it would be
// fifty objects, of which the garbage alone costs more than the encoding.
func (c *containerSample) entry() index.Entry {
	c.encode(nil)
	return index.Entry{State: int32(c.ref.State), Wire: c.wire}
}

func (p *podSample) entry() index.Entry {
	p.encode(nil)
	return index.Entry{State: int32(p.ref.State), Wire: p.wire}
}

// encode makes the entry. f has a buffer that is used again; it may be nil.
func (c *containerSample) encode(f *files) {
	c.wireOnce.Do(func() { c.wire = f.encode(c.appendStats) })
}

func (p *podSample) encode(f *files) {
	p.wireOnce.Do(func() { p.wire = f.encode(p.appendStats) })
}

// statsRoom is enough for the stats of a container as the kubelet makes them.
const statsRoom = 1 << 10

func (f *files) encode(content func([]byte) []byte) []byte {
	if f == nil {
		return appendMessage(make([]byte, 0, statsRoom), index.ListField, content)
	}
	f.wire = appendMessage(f.wire[:0], index.ListField, content)
	return bytes.Clone(f.wire)
}

// encode makes the entries on all processors before somebody waits for them.
func (w *work) encode(p *pass) {
	w.each(p,
		func(f *files, pod *podSample) {
			for _, c := range pod.containers {
				c.encode(f)
			}
			if w.depth&podStats != 0 {
				pod.encode(f)
			}
		},
		func(f *files, c *containerSample) { c.encode(f) })
}

// appendStats leaves out what the kernel did not give.
func (c *containerSample) appendStats(b []byte) []byte {
	b = appendMessage(b, ctrStatsAttributes, c.ref.appendAttributes)
	at := uint64(c.at.UnixNano())
	b = c.appendCPU(b, ctrStatsCPU)
	b = c.appendMemory(b, ctrStatsMemory, at)
	b = c.appendLayer(b, ctrStatsLayer)
	b = c.appendSwap(b, ctrStatsSwap, at)
	return c.appendIO(b, ctrStatsIO, at)
}

func (p *podSample) appendStats(b []byte) []byte {
	b = appendMessage(b, podStatsAttributes, p.ref.appendAttributes)
	return appendMessage(b, podStatsLinux, p.appendLinux)
}

func (p *podSample) appendLinux(b []byte) []byte {
	at := uint64(p.at.UnixNano())
	b = p.appendCPU(b, linuxCPU)
	b = p.appendMemory(b, linuxMemory, at)
	b = p.appendNetwork(b, linuxNetwork)
	if p.Pids != nil {
		b = appendMessage(b, linuxProcess, func(b []byte) []byte {
			return appendNumber(appendUint(b, timestamp, at), processCount, p.Pids.Processes)
		})
	}
	for _, c := range p.containers {
		if c.running() {
			// The same as in the list of containers, but for the number of the field.
			b = append(append(b, tag(linuxContainers, protowire.BytesType)), c.entry().Wire[1:]...)
		}
	}
	return p.appendIO(b, linuxIO, at)
}

func (r *ContainerRef) appendAttributes(b []byte) []byte {
	b = appendString(b, attributesID, r.ID)
	if m := r.Metadata; m != nil {
		b = appendMessage(b, attributesMetadata, func(b []byte) []byte {
			return appendUint(appendString(b, ctrMetaName, m.Name), ctrMetaAttempt, uint64(m.Attempt))
		})
	}
	return appendMap(appendMap(b, attributesLabels, r.Labels), attributesAnnotations, r.Annotations)
}

func (r *PodRef) appendAttributes(b []byte) []byte {
	b = appendString(b, attributesID, r.ID)
	if m := r.Metadata; m != nil {
		b = appendMessage(b, attributesMetadata, func(b []byte) []byte {
			b = appendString(appendString(b, podMetaName, m.Name), podMetaUID, m.Uid)
			return appendUint(appendString(b, podMetaNamespace, m.Namespace), podMetaAttempt, uint64(m.Attempt))
		})
	}
	return appendMap(appendMap(b, attributesLabels, r.Labels), attributesAnnotations, r.Annotations)
}

func (m *measured) appendCPU(b []byte, field protowire.Number) []byte {
	if m.CPU == nil {
		return b
	}
	return appendMessage(b, field, func(b []byte) []byte {
		b = appendUint(b, timestamp, uint64(m.CPU.At.UnixNano()))
		b = appendNumber(b, cpuUsage, m.CPU.Usage)
		if m.nanoCores != nil {
			b = appendNumber(b, cpuRate, *m.nanoCores)
		}
		if m.Pressure != nil {
			b = m.Pressure.CPU.append(b, cpuPSI)
		}
		return b
	})
}

func (m *measured) appendMemory(b []byte, field protowire.Number, at uint64) []byte {
	mem := m.Memory
	if mem == nil {
		return b
	}
	return appendMessage(b, field, func(b []byte) []byte {
		b = appendUint(b, timestamp, at)
		b = appendNumber(b, memoryWorkingSet, mem.WorkingSet)
		if mem.Limit > 0 {
			b = appendNumber(b, memoryAvailable, mem.Limit-min(mem.Limit, mem.WorkingSet))
		}
		b = appendNumber(b, memoryUsage, mem.Usage)
		b = appendNumber(b, memoryRSS, mem.RSS)
		b = appendNumber(b, memoryFaults, mem.Faults)
		b = appendNumber(b, memoryMajorFaults, mem.MajorFaults)
		if m.Pressure != nil {
			b = m.Pressure.Memory.append(b, memoryPSI)
		}
		return b
	})
}

func (m *measured) appendSwap(b []byte, field protowire.Number, at uint64) []byte {
	mem := m.Memory
	if mem == nil {
		return b
	}
	return appendMessage(b, field, func(b []byte) []byte {
		b = appendUint(b, timestamp, at)
		switch {
		case mem.SwapOff:
			b = appendNumber(b, swapAvailable, 0)
		case mem.SwapLimit > 0:
			b = appendNumber(b, swapAvailable, mem.SwapLimit-min(mem.SwapLimit, mem.Swap))
		}
		return appendNumber(b, swapUsage, mem.Swap)
	})
}

// appendIO appends PSI alone: CRI has no other figure of block devices.
func (m *measured) appendIO(b []byte, field protowire.Number, at uint64) []byte {
	if m.Pressure == nil || m.Pressure.IO == nil {
		return b
	}
	return appendMessage(b, field, func(b []byte) []byte {
		return m.Pressure.IO.append(appendUint(b, timestamp, at), ioPSI)
	})
}

func (c *containerSample) appendLayer(b []byte, field protowire.Number) []byte {
	if c.layer == nil {
		return b
	}
	return appendMessage(b, field, func(b []byte) []byte {
		b = appendUint(b, timestamp, uint64(c.layer.At.UnixNano()))
		b = appendMessage(b, layerFilesystem, func(b []byte) []byte {
			return appendString(b, fsOfPath, c.layer.Mountpoint)
		})
		return appendNumber(appendNumber(b, layerBytes, c.layer.Bytes), layerInodes, c.layer.Inodes)
	})
}

func (p *podSample) appendNetwork(b []byte, field protowire.Number) []byte {
	if p.networkAt.IsZero() {
		return b
	}
	def := p.defaultInterface()
	return appendMessage(b, field, func(b []byte) []byte {
		b = appendUint(b, timestamp, uint64(p.networkAt.UnixNano()))
		for i := range p.interfaces {
			field := protowire.Number(networkOthers)
			if p.interfaces[i].Name == def {
				field = networkDefault
			}
			b = appendInterface(b, field, &p.interfaces[i])
		}
		return b
	})
}

// defaultInterface is the name of the interface with the pod's IP.
func (p *podSample) defaultInterface() string {
	if p.ref.DefaultInterface != "" {
		return p.ref.DefaultInterface
	}
	return "eth0"
}

func appendInterface(b []byte, field protowire.Number, i *Interface) []byte {
	return appendMessage(b, field, func(b []byte) []byte {
		b = appendString(b, interfaceName, i.Name)
		b = appendNumber(appendNumber(b, interfaceRxBytes, i.RxBytes), interfaceRxErrors, i.RxErrors)
		return appendNumber(appendNumber(b, interfaceTxBytes, i.TxBytes), interfaceTxErrors, i.TxErrors)
	})
}

func (s *Stall) append(b []byte, field protowire.Number) []byte {
	if s == nil {
		return b
	}
	return appendMessage(b, field, func(b []byte) []byte {
		return appendMessage(appendMessage(b, psiFull, s.Full.append), psiSome, s.Some.append)
	})
}

func (t *StallTime) append(b []byte) []byte {
	if t.Total != 0 {
		b = appendUint(b, psiTotal, t.Total)
	}
	for i, avg := range [...]float64{t.Avg10, t.Avg60, t.Avg300} {
		if avg != 0 {
			b = appendDouble(b, psiAvg10+protowire.Number(i), avg)
		}
	}
	return b
}
