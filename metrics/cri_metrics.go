package metrics

import (
	"context"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// MetricDescriptors answers CRI's ListMetricDescriptors.
func (s *Sampler) MetricDescriptors() []*runtimeapi.MetricDescriptor {
	out := make([]*runtimeapi.MetricDescriptor, 0, len(s.families))
	for _, f := range s.families {
		out = append(out, &runtimeapi.MetricDescriptor{Name: f.name, Help: f.help, LabelKeys: join(baseLabels, f.labels)})
	}
	return out
}

// PodSandboxMetrics answers CRI's ListPodSandboxMetrics for ready pods and their
// running containers. CRI's values are whole numbers, so seconds lose their fraction,
// which /metrics has.
func (s *Sampler) PodSandboxMetrics(ctx context.Context) []*runtimeapi.PodSandboxMetrics {
	out := []*runtimeapi.PodSandboxMetrics{}
	for _, p := range s.sample(ctx).pods {
		if !p.ready() {
			continue
		}
		pm := &runtimeapi.PodSandboxMetrics{PodSandboxId: p.ref.ID}
		base := p.labelValues()
		for i := range s.families {
			f := &s.families[i]
			f.ofPod(p, f.into(&pm.Metrics, base, p.at.UnixNano()))
		}
		for _, c := range p.containers {
			if c.running() {
				pm.ContainerMetrics = append(pm.ContainerMetrics, s.containerMetrics(c))
			}
		}
		out = append(out, pm)
	}
	return out
}

func (s *Sampler) containerMetrics(c *containerSample) *runtimeapi.ContainerMetrics {
	cm := &runtimeapi.ContainerMetrics{ContainerId: c.ref.ID}
	base := c.labelValues()
	for i := range s.families {
		f := &s.families[i]
		f.ofContainer(c, f.into(&cm.Metrics, base, c.at.UnixNano()))
	}
	return cm
}

// into gives an emit that appends CRI metrics of the family.
func (f *family) into(list *[]*runtimeapi.Metric, base []string, at int64) emit {
	return func(v float64, labels ...string) {
		*list = append(*list, &runtimeapi.Metric{
			Name: f.name, Timestamp: at, MetricType: f.kind, LabelValues: join(base, labels), Value: val(uint64(v)),
		})
	}
}

// join makes a new slice, so that no two users share one.
func join(a, b []string) []string {
	return append(append(make([]string, 0, len(a)+len(b)), a...), b...)
}
