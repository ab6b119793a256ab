package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Hanging is an operation on a pod or container that has been under way for long.
type Hanging struct {
	// Operation is its name: "StartContainer".
	Operation string
	// For is how long it has been under way.
	For time.Duration
}

// operations are always shown, so that a sum over time has no holes.
var operations = []string{
	"RunPodSandbox", "StopPodSandbox", "RemovePodSandbox", "CreateContainer", "StartContainer", "StopContainer",
	"RemoveContainer", "UpdateContainerResources", "ContainerExit",
}

// hangingCollector reads what hangs at each scrape.
type hangingCollector struct {
	state         func() []Hanging
	count, oldest *prometheus.Desc
}

// RegisterHanging adds what hangs; state must answer from memory.
func (m *Metrics) RegisterHanging(state func() []Hanging) {
	label := []string{"operation"}
	m.Registry.MustRegister(&hangingCollector{
		state: state,
		count: prometheus.NewDesc("berth_operations_hanging",
			"Operations on pods and containers that have been under way for more than 10 s, with a caller or without.", label, nil),
		oldest: prometheus.NewDesc("berth_operations_hanging_oldest_seconds",
			"For how long the oldest operation that hangs has been under way; 0 where none does.", label, nil),
	})
}

// Describe implements prometheus.Collector.
func (c *hangingCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.count
	ch <- c.oldest
}

// Collect implements prometheus.Collector.
func (c *hangingCollector) Collect(ch chan<- prometheus.Metric) {
	count, oldest := map[string]int{}, map[string]time.Duration{}
	for _, name := range operations {
		count[name] = 0
	}
	for _, h := range c.state() {
		count[h.Operation]++
		oldest[h.Operation] = max(oldest[h.Operation], h.For)
	}
	for name, n := range count {
		ch <- prometheus.MustNewConstMetric(c.count, prometheus.GaugeValue, float64(n), name)
		ch <- prometheus.MustNewConstMetric(c.oldest, prometheus.GaugeValue, oldest[name].Seconds(), name)
	}
}
