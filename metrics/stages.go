package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Stages observes how long each stage of an operation took
// (berth_stage_duration_seconds): what one looks at when pods start slowly.
// A nil *Stages observes nothing.
type Stages struct {
	durations *prometheus.HistogramVec
}

func newStages(reg prometheus.Registerer) *Stages {
	s := &Stages{durations: latency("berth_stage_duration_seconds",
		"How long each stage of starting and stopping pods and containers took.", stageBuckets(), "operation", "stage")}
	reg.MustRegister(s.durations)
	return s
}

// Observe records one stage: op is the CRI call in the field's words ("RunPodSandbox"),
// stage one of few constant names ("netns", "cni", "snapshot", "spec", "shim", "create", "start").
func (s *Stages) Observe(op, stage string, d time.Duration) {
	if s == nil {
		return
	}
	s.durations.WithLabelValues(op, stage).Observe(d.Seconds())
}

// Time starts a stage and returns the function that records it:
// defer stages.Time("RunPodSandbox", "cni")().
func (s *Stages) Time(op, stage string) func() {
	start := time.Now()
	return func() { s.Observe(op, stage, time.Since(start)) }
}
