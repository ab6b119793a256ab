package metrics

import (
	"context"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// MetricDescriptors answers CRI's ListMetricDescriptors with the families of which this host has values.
func (s *Sampler) MetricDescriptors() []*runtimeapi.MetricDescriptor {
	out := make([]*runtimeapi.MetricDescriptor, 0, len(s.families))
	for _, f := range s.families {
		if f.given != nil && !f.given(s.host) {
			continue
		}
		out = append(out, &runtimeapi.MetricDescriptor{Name: f.name, Help: f.help, LabelKeys: join(baseLabels(), f.labels)})
	}
	return out
}

// PodSandboxMetrics answers CRI's ListPodSandboxMetrics for ready pods and their containers, and
// says of how many pods.
// CRI's values are whole numbers, so seconds lose their fraction, which /metrics has.
//
// The message is encoded already: its fields are empty and its unknown fields hold all of
// it, which the gRPC codec sends as they are. Tens of thousands of values would cost as many
// objects otherwise, for each caller again.
func (s *Sampler) PodSandboxMetrics(ctx context.Context) (_ *runtimeapi.ListPodSandboxMetricsResponse, pods int) {
	r := &runtimeapi.ListPodSandboxMetricsResponse{}
	list := s.sample(ctx, everything).criMetrics(s.families, s.opts.MaxAge)
	r.ProtoReflect().SetUnknown(list.all())
	return r, len(list.ends)
}

// StreamPodSandboxMetrics answers CRI's StreamPodSandboxMetrics: as PodSandboxMetrics, in
// messages of at most room bytes. A pod whose metrics alone take more has a message of its own.
func (s *Sampler) StreamPodSandboxMetrics(ctx context.Context, room int, send func(*runtimeapi.StreamPodSandboxMetricsResponse) error) error {
	for b := range s.sample(ctx, everything).criMetrics(s.families, s.opts.MaxAge).chunks(room) {
		r := &runtimeapi.StreamPodSandboxMetricsResponse{}
		r.ProtoReflect().SetUnknown(b)
		if err := send(r); err != nil {
			return err
		}
	}
	return nil
}

// join makes a new slice, so that no two users share one.
func join(a, b []string) []string {
	return append(append(make([]string, 0, len(a)+len(b)), a...), b...)
}
