package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// DetachQueue is the state of the background CNI DELs.
type DetachQueue struct {
	// Depth is how many pods' DELs are owed, Oldest for how long the first of them has been,
	// Attempts how often those DELs have failed already.
	Depth    int
	Oldest   time.Duration
	Attempts int
}

// RegisterDetachQueue adds the background CNI DELs; state must answer from memory.
func (m *Metrics) RegisterDetachQueue(state func() DetachQueue) {
	m.gauge("berth_cni_detach_queue_depth", "Pods whose CNI DEL failed and is retried in the background.",
		func() float64 { return float64(state().Depth) })
	m.gauge("berth_cni_detach_queue_oldest_seconds", "How long the oldest CNI DEL has been retried.",
		func() float64 { return state().Oldest.Seconds() })
	m.gauge("berth_cni_detach_queue_attempts", "Failed attempts of the CNI DELs that are still to be done.",
		func() float64 { return float64(state().Attempts) })
}

// RegisterEvents adds the subscribers of container events: how many there are, and how many
// were cut off so far for being too slow.
func (m *Metrics) RegisterEvents(subscribers func() int, dropped func() uint64) {
	m.gauge("berth_event_subscribers", "Subscribers of container events.", func() float64 { return float64(subscribers()) })
	m.Registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "berth_event_subscribers_dropped_total",
		Help: "Subscribers of container events that were cut off since they fell behind.",
	}, func() float64 { return float64(dropped()) }))
}

// RegisterChecks adds the conditions of the node, which are those of /readyz.
func (m *Metrics) RegisterChecks(checks []Check) {
	for _, c := range checks {
		m.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "berth_ready", Help: "1 while the condition is met, else 0; /readyz has the reason.",
			ConstLabels: prometheus.Labels{"condition": c.Name},
		}, func() float64 {
			if c.Ready() != nil {
				return 0
			}
			return 1
		}))
	}
}

func (m *Metrics) gauge(name, help string, read func() float64) {
	m.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read))
}
