package metrics

import "time"

// rate computes the CPU use since the pass that prev's rate was computed in, at least
// minWindow ago: passes that come faster than that leave the rate and its base as they
// are. A counter that went back is that of a new cgroup and has no rate yet.
func (m *measured) rate(prev *measured) {
	m.nanoCores, m.base = nil, nil
	base := prev.rateBase()
	if m.CPU == nil || base == nil || m.CPU.Usage < base.Usage || prev.CPU != nil && m.CPU.Usage < prev.CPU.Usage {
		return
	}
	window := m.CPU.At.Sub(base.At)
	if window < minWindow {
		m.nanoCores, m.base = prev.nanoCores, base
		return
	}
	v := uint64(float64(m.CPU.Usage-base.Usage) / window.Seconds())
	m.nanoCores = &v
}

// rateBase is what the next rate is computed from, nil when there was nothing yet.
func (m *measured) rateBase() *CPU {
	if m.base != nil {
		return m.base
	}
	return m.CPU
}

// maxBaseAge is how long something may go without being measured: a rate over more than
// that says nothing of now.
const maxBaseAge = time.Minute

// keepRate hands the base of the next rate on to a pass that does not measure this.
func (m *measured) keepRate(prev *measured) {
	if base := prev.rateBase(); base != nil && time.Since(base.At) < maxBaseAge {
		m.nanoCores, m.base = prev.nanoCores, base
	}
}
