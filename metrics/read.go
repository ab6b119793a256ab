package metrics

import "time"

// readAll runs every reader; one that fails leaves its part out and disturbs no other. above is
// the pod of a container, nil for a pod.
func (w *work) readAll(f *files, m *measured, above *podSample) {
	if m.group == nil {
		return
	}
	w.readOnce(f, m, above)
	if m.CPU == nil && m.Memory == nil && m.group.opened() {
		// It may have been made anew at the same path.
		m.group.close(w.s.handles)
		m.Sample = Sample{}
		w.readOnce(f, m, nil)
	}
}

func (w *work) readOnce(f *files, m *measured, above *podSample) {
	w.within(m.group, above)
	for _, r := range w.s.readers {
		if !r.detail {
			w.count(r.name, r.read(f, m.group, &m.Sample))
		}
	}
	if w.depth&details != 0 {
		w.readDetails(f, m)
	}
}

// readDetails adds to what the other readers read.
func (w *work) readDetails(f *files, m *measured) {
	g, s, at := m.group, &m.Sample, time.Now()
	var kept, failed [keepings]bool
	for k := range keepings {
		if kept[k] = g.keeps(k, s); kept[k] {
			g.still.give(k, s, g.unified)
		}
	}
	for _, r := range w.s.readers {
		if r.detail && !kept[r.keep] {
			err := r.read(f, g, s)
			w.count(r.name, err)
			failed[r.keep] = failed[r.keep] || !vanished(err)
		}
	}
	for k := range keepings {
		if failed[k] {
			g.still.at[k] = time.Time{}
		} else if !kept[k] {
			g.still.keep(k, s, at)
		}
	}
	w.nameDevices(m)
}

func (w *work) nameDevices(m *measured) {
	for i := range m.IO {
		m.IO[i].Name = w.s.devices.name(m.IO[i].Device)
	}
}

// count notes that a reader failed.
func (w *work) count(reader string, err error) {
	if err != nil {
		w.s.errors.count(reader, err)
	}
}
