package metrics

import (
	"bytes"
	"math"
)

// Limits are the limits in force on a cgroup, as the kernel has them.
type Limits struct {
	// CPUShares is the relative weight in the unit of v1 (1024 for one processor), CPUQuota
	// the microseconds of CPU time in each CPUPeriod, 0 for no quota.
	CPUShares, CPUQuota, CPUPeriod uint64
	// MemoryReservation is what memory pressure elsewhere leaves alone, in bytes; 0 for none.
	MemoryReservation uint64
}

// readLimits reads what of the limits is not read at every pass. What is not there is 0.
func readLimits(f *files, g *group) *Limits {
	l := &Limits{}
	if g.unified {
		dir := g.dir("cpu")
		if w, err := f.value(dir, "cpu.weight"); err == nil && w > 0 {
			l.CPUShares = sharesOf(w)
		}
		if b, err := f.read(dir, "cpu.max"); err == nil {
			quota, period, _ := bytes.Cut(bytes.TrimSpace(b), []byte{' '})
			l.CPUPeriod, _ = number(period)
			if q, err := number(quota); err == nil && q != math.MaxUint64 {
				l.CPUQuota = q
			}
		}
		l.MemoryReservation, _ = f.limit(dir, "memory.min")
		return l
	}
	cpu := g.dir("cpu")
	l.CPUShares, _ = f.optional(cpu, "cpu.shares")
	l.CPUPeriod, _ = f.optional(cpu, "cpu.cfs_period_us")
	l.CPUQuota, _ = f.optional(cpu, "cpu.cfs_quota_us") // "-1" is no number, and no quota
	l.MemoryReservation, _ = f.limit(g.dir("memory"), "memory.soft_limit_in_bytes")
	return l
}

// sharesOf maps the weight of v2 (1 to 10000) to shares (2 to 262144), linearly as the
// container runtimes do.
func sharesOf(weight uint64) uint64 { return 2 + (weight-1)*262142/9999 }
