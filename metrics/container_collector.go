package metrics

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// scrapeTimeout bounds how long a scrape waits for a pass; then it gets the one before.
const scrapeTimeout = 5 * time.Second

// sampleCollector shows a sampler's families to Prometheus. What is gone from
// the newest pass is gone from the exposition.
type sampleCollector struct {
	s      *Sampler
	descs  []*prometheus.Desc
	took   *prometheus.Desc
	failed *prometheus.Desc
}

func newSampleCollector(s *Sampler) *sampleCollector {
	c := &sampleCollector{
		s: s,
		took: prometheus.NewDesc("berth_sample_duration_seconds",
			"How long the last pass over all cgroups and pod networks took.", nil, nil),
		failed: prometheus.NewDesc("berth_sample_read_failures_total",
			"Figures that could not be read although their cgroup or network exists.", []string{"reader"}, nil),
	}
	for _, f := range s.families {
		c.descs = append(c.descs, prometheus.NewDesc(f.name, f.help, join(baseLabels, f.labels), nil))
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *sampleCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d
	}
	ch <- c.took
	ch <- c.failed
}

// Collect implements prometheus.Collector.
func (c *sampleCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	p := c.s.sample(ctx)
	for _, ctr := range p.containers {
		if !ctr.running() {
			continue
		}
		base := ctr.labelValues()
		for i := range c.s.families {
			c.s.families[i].ofContainer(ctr, c.out(ch, i, base))
		}
	}
	for _, pod := range p.pods {
		if !pod.ready() {
			continue
		}
		base := pod.labelValues()
		for i := range c.s.families {
			c.s.families[i].ofPod(pod, c.out(ch, i, base))
		}
	}
	ch <- prometheus.MustNewConstMetric(c.took, prometheus.GaugeValue, p.took.Seconds())
	for reader, n := range c.s.errors.all() {
		ch <- prometheus.MustNewConstMetric(c.failed, prometheus.CounterValue, float64(n), reader)
	}
}

// out gives an emit that sends metrics of family i. A label value that Prometheus
// refuses costs that one metric only.
func (c *sampleCollector) out(ch chan<- prometheus.Metric, i int, base []string) emit {
	kind := prometheus.GaugeValue
	if c.s.families[i].kind == runtimeapi.MetricType_COUNTER {
		kind = prometheus.CounterValue
	}
	return func(v float64, labels ...string) {
		if m, err := prometheus.NewConstMetric(c.descs[i], kind, v, join(base, labels)...); err == nil {
			ch <- m
		}
	}
}
