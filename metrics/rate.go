package metrics

// rate computes the CPU use since the pass that prev's rate was computed in, at least
// minWindow ago: passes that come faster than that leave the rate and its base as they
// are. A counter that went back is that of a new cgroup and has no rate yet.
func (m *measured) rate(prev *measured) {
	if m.CPU == nil || prev.CPU == nil || m.CPU.Usage < prev.CPU.Usage {
		return
	}
	base := prev.base
	if base == nil {
		base = prev.CPU
	}
	window := m.CPU.At.Sub(base.At)
	if window < minWindow {
		m.nanoCores, m.base = prev.nanoCores, base
		return
	}
	v := uint64(float64(m.CPU.Usage-base.Usage) / window.Seconds())
	m.nanoCores = &v
}
