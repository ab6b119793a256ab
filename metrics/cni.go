package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// CNI observes what is done to pods' networks (berth_cni_*). A nil *CNI observes nothing.
type CNI struct {
	operations, calls         *prometheus.CounterVec
	durations, callsDurations *prometheus.HistogramVec
	loads                     *prometheus.CounterVec
}

func newCNI(reg prometheus.Registerer) *CNI {
	c := &CNI{
		operations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "berth_cni_operations_total", Help: "Operations on pods' networks, each of which runs one or more plugins, by verb and result.",
		}, []string{"verb", "result"}),
		durations: latency("berth_cni_operation_duration_seconds",
			"How long operations on pods' networks took.", stageBuckets(), "verb"),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "berth_cni_plugin_calls_total", Help: "Runs of CNI plugins, by plugin, verb and result.",
		}, []string{"plugin", "verb", "result"}),
		callsDurations: latency("berth_cni_plugin_call_duration_seconds",
			"How long runs of CNI plugins took.", stageBuckets(), "plugin", "verb"),
		loads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "berth_cni_config_changes_total", Help: "Changes of the network's state after a look at the CNI configuration, by what it was then.",
		}, []string{"ready"}),
	}
	reg.MustRegister(c.operations, c.durations, c.calls, c.callsDurations, c.loads)
	return c
}

// Plugin records one run of a plugin ("bridge"): verb is "ADD", "DEL", "CHECK", "STATUS" or "GC".
func (c *CNI) Plugin(plugin, verb string, d time.Duration, err error) {
	if c == nil {
		return
	}
	c.calls.WithLabelValues(plugin, verb, result(err)).Inc()
	c.callsDurations.WithLabelValues(plugin, verb).Observe(d.Seconds())
}

// Operation records a whole operation: "ADD", "DEL", "CHECK" or "GC".
func (c *CNI) Operation(verb string, d time.Duration, err error) {
	if c == nil {
		return
	}
	c.operations.WithLabelValues(verb, result(err)).Inc()
	c.durations.WithLabelValues(verb).Observe(d.Seconds())
}

// ConfigChanged records that the network became ready or stopped being so, or that
// another configuration took effect.
func (c *CNI) ConfigChanged(ready bool) {
	if c == nil {
		return
	}
	v := "false"
	if ready {
		v = "true"
	}
	c.loads.WithLabelValues(v).Inc()
}
