package metrics

// RegisterDamage adds how many databases were damaged when the daemon started.
func (m *Metrics) RegisterDamage(files int) {
	m.gauge("berth_metadata_quarantined_files",
		"Databases that were damaged when the daemon started and were put aside; what they had on record was lost.",
		func() float64 { return float64(files) })
}
