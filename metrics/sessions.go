package metrics

import "github.com/prometheus/client_golang/prometheus"

// Sessions observes streaming sessions (berth_streaming_*) by kind: "exec", "attach",
// "portforward". A nil *Sessions observes nothing.
type Sessions struct {
	total  *prometheus.CounterVec
	active *prometheus.GaugeVec
}

func newSessions(reg prometheus.Registerer) *Sessions {
	s := &Sessions{
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "berth_streaming_sessions_total", Help: "Streaming sessions that began, by kind.",
		}, []string{"kind"}),
		active: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "berth_streaming_sessions_active", Help: "Streaming sessions under way, by kind.",
		}, []string{"kind"}),
	}
	reg.MustRegister(s.total, s.active)
	for _, kind := range []string{"exec", "attach", "portforward"} {
		s.total.WithLabelValues(kind)
		s.active.WithLabelValues(kind)
	}
	return s
}

// Begin records the beginning of a session and returns what records its end.
func (s *Sessions) Begin(kind string) (end func()) {
	if s == nil {
		return func() {}
	}
	s.total.WithLabelValues(kind).Inc()
	s.active.WithLabelValues(kind).Inc()
	return func() { s.active.WithLabelValues(kind).Dec() }
}
