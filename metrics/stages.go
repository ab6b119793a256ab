package metrics

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Stages observes how long each stage of an operation took
// (berth_stage_duration_seconds): what one looks at when pods start slowly.
// A nil *Stages observes nothing.
type Stages struct {
	durations *prometheus.HistogramVec
	failures  *prometheus.CounterVec
}

func newStages(reg prometheus.Registerer) *Stages {
	s := &Stages{
		durations: latency("berth_stage_duration_seconds",
			"How long each stage of starting and stopping pods and containers took.", stageBuckets(), "operation", "stage"),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "berth_stage_failures_total", Help: "Stages of starting and stopping pods and containers that failed.",
		}, []string{"operation", "stage"}),
	}
	reg.MustRegister(s.durations, s.failures)
	return s
}

// Observe records one stage: op is the CRI call in the field's words ("RunPodSandbox"),
// stage one of few constant names ("netns", "cni", "snapshot", "spec", "shim", "create", "start").
func (s *Stages) Observe(ctx context.Context, op, stage string, d time.Duration, err error) {
	if s == nil {
		return
	}
	observe(ctx, s.durations.WithLabelValues(op, stage), d)
	if err != nil {
		s.failures.WithLabelValues(op, stage).Inc()
	}
}
