package metrics

import "github.com/prometheus/client_golang/prometheus"

// Exits counts containers that ended (berth_container_exits_total). A nil *Exits counts nothing.
type Exits struct {
	total *prometheus.CounterVec
	kills prometheus.Counter
}

func newExits(reg prometheus.Registerer) *Exits {
	e := &Exits{
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "berth_container_exits_total", Help: "Containers that ended, by the reason that CRI gives.",
		}, []string{"reason"}),
		kills: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "berth_container_oom_kills_total",
			Help: "Processes killed for their container's memory limit, counted when the container has ended; unlike container_oom_events_total it stays.",
		}),
	}
	reg.MustRegister(e.total, e.kills)
	return e
}

// Ended counts one: reason is one of CRI's words ("Completed", "OOMKilled").
func (e *Exits) Ended(reason string, oomKills uint64) {
	if e == nil {
		return
	}
	e.total.WithLabelValues(reason).Inc()
	e.kills.Add(float64(oomKills))
}
