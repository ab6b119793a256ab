package metrics

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	leakAge     = time.Minute
	leakTimeout = 20 * time.Second
)

// LeakFunc counts, by kind, what is left on the node of pods and containers that are gone. It may
// be slow and must respect ctx; kinds without any are 0.
type LeakFunc func(ctx context.Context) (map[string]int, error)

// RegisterLeaks adds the leaks that count finds. It is asked in the background, once a minute while
// somebody scrapes. The function that is returned ends that.
func (m *Metrics) RegisterLeaks(count LeakFunc) (stop func()) {
	b := newBackground(func(ctx context.Context, _ struct{}) (map[string]int, error) { return count(ctx) },
		backgroundOptions{what: "leaks", maxAge: leakAge, parallel: 1, timeout: leakTimeout})
	m.Registry.MustRegister(&leakCollector{
		found: b,
		leaks: prometheus.NewDesc("berth_leaked_objects",
			"What is left on the node of pods and containers that are gone, by kind.", []string{"kind"}, nil),
		at: prometheus.NewDesc("berth_leaks_counted_timestamp_seconds",
			"When leaks were looked for last, in seconds since the epoch; 0 for never.", nil, nil),
	})
	return b.Close
}

type leakCollector struct {
	found     *background[struct{}, map[string]int]
	leaks, at *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *leakCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.leaks
	ch <- c.at
}

// Collect implements prometheus.Collector.
func (c *leakCollector) Collect(ch chan<- prometheus.Metric) {
	counts, at := c.found.Get(struct{}{})
	for kind, n := range counts {
		sendGauge(ch, c.leaks, float64(n), kind)
	}
	v := 0.0
	if !at.IsZero() {
		v = float64(at.UnixNano()) / 1e9
	}
	sendGauge(ch, c.at, v)
}
