package metrics

import (
	"fmt"
	"strconv"

	v1 "github.com/containerd/cgroups/v3/cgroup1/stats"
	v2 "github.com/containerd/cgroups/v3/cgroup2/stats"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
)

// FromTask turns what a shim says about a task (containerd's Metrics call) into a sample:
// the figures of cgroup v1 or v2 as containerd writes them. Other forms are
// errdefs.ErrNotImplemented.
func FromTask(data typeurl.Any) (Sample, error) {
	switch data.GetTypeUrl() {
	case "io.containerd.cgroups.v1.Metrics":
		m := &v1.Metrics{}
		if err := typeurl.UnmarshalTo(data, m); err != nil {
			return Sample{}, fmt.Errorf("decode the shim's figures: %w", err)
		}
		return fromV1(m), nil
	case "io.containerd.cgroups.v2.Metrics":
		m := &v2.Metrics{}
		if err := typeurl.UnmarshalTo(data, m); err != nil {
			return Sample{}, fmt.Errorf("decode the shim's figures: %w", err)
		}
		return fromV2(m), nil
	}
	return Sample{}, fmt.Errorf("figures of the type %s: %w", data.GetTypeUrl(), errdefs.ErrNotImplemented)
}

func fromV1(m *v1.Metrics) (s Sample) {
	if c := m.GetCPU(); c != nil {
		u, t := c.GetUsage(), c.GetThrottling()
		s.CPU = &CPU{
			Usage: u.GetTotal(), User: u.GetUser(), System: u.GetKernel(),
			Periods: t.GetPeriods(), Throttled: t.GetThrottledPeriods(), ThrottledTime: t.GetThrottledTime(),
		}
	}
	if x := m.GetMemory(); x != nil {
		s.Memory = &Memory{
			Usage: x.GetUsage().GetUsage(), Peak: x.GetUsage().GetMax(), Limit: bounded(x.GetUsage().GetLimit()),
			RSS: x.GetTotalRSS(), Cache: x.GetTotalCache(), MappedFile: x.GetTotalMappedFile(),
			ActiveFile: x.GetTotalActiveFile(), InactiveFile: x.GetTotalInactiveFile(), Kernel: x.GetKernel().GetUsage(),
			Swap: x.GetSwap().GetUsage(), Faults: x.GetTotalPgFault(), MajorFaults: x.GetTotalPgMajFault(),
			OwnFaults: x.GetPgFault(), OwnMajorFaults: x.GetPgMajFault(),
			LimitHits: x.GetUsage().GetFailcnt(), OOMKills: m.GetMemoryOomControl().GetOomKill(),
		}
		s.Memory.workingSet()
	}
	if p := m.GetPids(); p != nil {
		s.Pids = &Pids{Threads: p.GetCurrent(), Limit: bounded(p.GetLimit())}
	}
	devices := map[string]*DeviceIO{}
	for i, entries := range [][]*v1.BlkIOEntry{m.GetBlkio().GetIoServiceBytesRecursive(), m.GetBlkio().GetIoServicedRecursive()} {
		for _, e := range entries {
			number := device(e.GetMajor(), e.GetMinor())
			d := devices[number]
			if d == nil {
				d = &DeviceIO{Device: number, Name: number}
				devices[number] = d
			}
			d.set([]byte(e.GetOp()), e.GetValue(), []func(*DeviceIO) (_, _, _ *uint64){(*DeviceIO).bytes, (*DeviceIO).operations}[i])
		}
	}
	s.IO = sorted(devices)
	return s
}

func fromV2(m *v2.Metrics) (s Sample) {
	if c := m.GetCPU(); c != nil {
		s.CPU = &CPU{
			Usage: nanos(c.GetUsageUsec()), User: nanos(c.GetUserUsec()), System: nanos(c.GetSystemUsec()),
			Periods: c.GetNrPeriods(), Throttled: c.GetNrThrottled(), ThrottledTime: nanos(c.GetThrottledUsec()),
		}
	}
	if x := m.GetMemory(); x != nil {
		s.Memory = &Memory{
			Usage: x.GetUsage(), Peak: x.GetMaxUsage(), Limit: bounded(x.GetUsageLimit()),
			RSS: x.GetAnon(), Cache: x.GetFile(), MappedFile: x.GetFileMapped(),
			ActiveFile: x.GetActiveFile(), InactiveFile: x.GetInactiveFile(), Kernel: x.GetKernelStack() + x.GetSlab(),
			Swap: x.GetSwapUsage(), SwapLimit: bounded(x.GetSwapLimit()), SwapOff: x.GetSwapLimit() == 0,
			Faults: x.GetPgfault(), MajorFaults: x.GetPgmajfault(), OwnFaults: x.GetPgfault(), OwnMajorFaults: x.GetPgmajfault(),
			LimitHits: m.GetMemoryEvents().GetMax(), OOMKills: m.GetMemoryEvents().GetOomKill(),
		}
		s.Memory.workingSet()
	}
	if p := m.GetPids(); p != nil {
		s.Pids = &Pids{Threads: p.GetCurrent(), Limit: bounded(p.GetLimit())}
	}
	devices := map[string]*DeviceIO{}
	for _, e := range m.GetIo().GetUsage() {
		number := device(e.GetMajor(), e.GetMinor())
		devices[number] = &DeviceIO{
			Device: number, Name: number,
			ReadBytes: e.GetRbytes(), WriteBytes: e.GetWbytes(), Reads: e.GetRios(), Writes: e.GetWios(),
		}
	}
	s.IO = sorted(devices)
	return s
}

// bounded is a limit where 0 means none.
func bounded(v uint64) uint64 {
	if v >= unlimited {
		return 0
	}
	return v
}

func device(major, minor uint64) string {
	return strconv.FormatUint(major, 10) + ":" + strconv.FormatUint(minor, 10)
}
