package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// CNI observes plugin calls (berth_cni_*). A nil *CNI observes nothing.
type CNI struct {
	operations *prometheus.CounterVec
	durations  *prometheus.HistogramVec
}

func newCNI(reg prometheus.Registerer) *CNI {
	c := &CNI{
		operations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "berth_cni_operations_total", Help: "Calls of CNI plugins, by verb and result.",
		}, []string{"plugin", "verb", "result"}),
		durations: latency("berth_cni_operation_duration_seconds",
			"How long calls of CNI plugins took.", stageBuckets(), "plugin", "verb"),
	}
	reg.MustRegister(c.operations, c.durations)
	return c
}

// Observe records one call of a plugin ("bridge"): verb is "ADD", "DEL", "CHECK", "STATUS" or "GC".
func (c *CNI) Observe(plugin, verb string, d time.Duration, err error) {
	if c == nil {
		return
	}
	c.operations.WithLabelValues(plugin, verb, result(err)).Inc()
	c.durations.WithLabelValues(plugin, verb).Observe(d.Seconds())
}

// result is the label value of an outcome.
func result(err error) string {
	if err != nil {
		return "error"
	}
	return "success"
}
