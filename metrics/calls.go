package metrics

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Calls observes calls of one of the daemon's neighbours: containerd's services
// (berth_containerd_*) or the shims' control sockets (berth_shim_*). A nil *Calls
// observes nothing.
type Calls struct {
	durations *prometheus.HistogramVec
	failures  *prometheus.CounterVec
	inFlight  *prometheus.GaugeVec
}

func newCalls(reg prometheus.Registerer, prefix, whom string) *Calls {
	c := &Calls{
		durations: latency(prefix+"_call_duration_seconds", "How long calls of "+whom+" took.", stageBuckets(), "call"),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: prefix + "_call_failures_total", Help: "Calls of " + whom + " that failed, by how.",
		}, []string{"call", "result"}),
		inFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: prefix + "_calls_in_flight", Help: "Calls of " + whom + " under way.",
		}, []string{"call"}),
	}
	reg.MustRegister(c.durations, c.failures, c.inFlight)
	return c
}

// Begin records the start of a call, one of few constant names, and returns what
// records its end.
func (c *Calls) Begin(ctx context.Context, call string) (end func(error)) {
	if c == nil {
		return func(error) {}
	}
	start := time.Now()
	c.inFlight.WithLabelValues(call).Inc()
	return func(err error) {
		c.inFlight.WithLabelValues(call).Dec()
		observe(ctx, c.durations.WithLabelValues(call), time.Since(start))
		if err != nil {
			c.failures.WithLabelValues(call, result(err)).Inc()
		}
	}
}
