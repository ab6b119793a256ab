package metrics

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// passCollector tells about the passes themselves.
type passCollector struct {
	s                  *Sampler
	took, failed, kept *prometheus.Desc
}

func newPassCollector(s *Sampler) *passCollector {
	return &passCollector{
		s: s,
		took: prometheus.NewDesc("berth_sample_duration_seconds",
			"How long the last pass over all cgroups and pod networks took.", nil, nil),
		failed: prometheus.NewDesc("berth_sample_read_failures_total",
			"Figures that could not be read although their cgroup or network exists.", []string{"reader"}, nil),
		kept: prometheus.NewDesc("berth_sample_open_directories", "Cgroup directories that are kept open between passes.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *passCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.took
	ch <- c.failed
	ch <- c.kept
}

// Collect implements prometheus.Collector.
func (c *passCollector) Collect(ch chan<- prometheus.Metric) {
	c.s.mu.Lock()
	took := c.s.last.took
	c.s.mu.Unlock()
	ch <- prometheus.MustNewConstMetric(c.took, prometheus.GaugeValue, took.Seconds())
	ch <- prometheus.MustNewConstMetric(c.kept, prometheus.GaugeValue, float64(c.s.handles.open.Load()))
	names := []string{"network", "filesystem"}
	for _, r := range c.s.readers {
		if !slices.Contains(names, r.name) {
			names = append(names, r.name)
		}
	}
	for _, name := range names {
		ch <- prometheus.MustNewConstMetric(c.failed, prometheus.CounterValue, float64(c.s.errors.of(name)), name)
	}
}
