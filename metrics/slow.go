package metrics

import "time"

const (
	// slowAge is how old a limit, or a figure out of /proc, may get.
	slowAge = 10 * time.Second
	// slowBudget is the time that one pass spends on them, all processors together; what does
	// not fit keeps its old figures until the next pass.
	slowBudget = 40 * time.Millisecond
)

// slowly brings the slow figures up to date when they are old and the pass has time left.
// init is the container's first process; pods have none, and the sums of their
// containers for the rest.
func (w *work) slowly(f *files, m *measured, init uint32) {
	if m.group == nil || w.depth&details == 0 || time.Since(m.slow.at) < slowAge || (w.budget.Load() <= 0 && !m.slow.at.IsZero()) {
		return
	}
	start := time.Now()
	m.slow.at, m.slow.limits = start, readLimits(f, m.group)
	switch {
	case init == 0 || m.group.idleSince(m.slow.procsAt, stillAge):
	case w.budget.Load() > 0:
		m.slow.procs, m.slow.procsAt = readProcesses(f, m.group.dir("pids"), w.s.proc, init), start
	default:
		m.slow.at = time.Time{} // the next pass goes on
	}
	w.budget.Add(-int64(time.Since(start)))
}
