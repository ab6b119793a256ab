package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// maxPulls bounds the pulls that have series of their own; stages count all.
const maxPulls = 64

// PullProgress is how far a pull under way has got.
type PullProgress struct {
	// Image is the reference, Stage one of few constant words ("queued", "fetching").
	Image, Stage string
	// BytesDone of BytesTotal are here, LayersDone of LayersTotal are unpacked; 0 of 0
	// until the manifest is known.
	BytesDone, BytesTotal   int64
	LayersDone, LayersTotal int
	// Started is when the first caller asked, LastByte when the last byte came (zero before).
	Started, LastByte time.Time
}

// RegisterPulls adds the pulls under way, taken from list at each scrape. stages are all
// that a pull can be in. list must answer from memory.
func (m *Metrics) RegisterPulls(list func() []PullProgress, stages ...string) {
	label := []string{"image"}
	m.Registry.MustRegister(&pullCollector{
		list: list, stages: stages,
		count: prometheus.NewDesc("berth_image_pulls_in_progress", "Image pulls under way, by stage.", []string{"stage"}, nil),
		done:  prometheus.NewDesc("berth_image_pull_progress_bytes", "Bytes of the image that are here, of pulls under way.", label, nil),
		total: prometheus.NewDesc("berth_image_pull_expected_bytes", "Bytes that the image has, of pulls under way; 0 until its manifest is known.", label, nil),
		layersDone: prometheus.NewDesc("berth_image_pull_progress_layers",
			"Layers of the image that are unpacked, of pulls under way.", label, nil),
		layersTotal: prometheus.NewDesc("berth_image_pull_expected_layers", "Layers that the image has, of pulls under way.", label, nil),
		age:         prometheus.NewDesc("berth_image_pull_age_seconds", "How long ago pulls under way were asked for.", label, nil),
		idle:        prometheus.NewDesc("berth_image_pull_idle_seconds", "How long ago the last byte came, of pulls under way.", label, nil),
	})
}

type pullCollector struct {
	list   func() []PullProgress
	stages []string

	count, done, total, layersDone, layersTotal, age, idle *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *pullCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.count, c.done, c.total, c.layersDone, c.layersTotal, c.age, c.idle} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *pullCollector) Collect(ch chan<- prometheus.Metric) {
	counts := map[string]int{}
	for _, s := range c.stages {
		counts[s] = 0
	}
	now, seen := time.Now(), map[string]bool{}
	for _, p := range c.list() {
		counts[p.Stage]++
		// Pulls of one reference with different credentials are different pulls.
		if len(seen) >= maxPulls || seen[p.Image] {
			continue
		}
		seen[p.Image] = true
		last := p.LastByte
		if last.IsZero() {
			last = p.Started
		}
		for desc, v := range map[*prometheus.Desc]float64{
			c.done: float64(p.BytesDone), c.total: float64(p.BytesTotal),
			c.layersDone: float64(p.LayersDone), c.layersTotal: float64(p.LayersTotal),
			c.age: now.Sub(p.Started).Seconds(), c.idle: now.Sub(last).Seconds(),
		} {
			sendGauge(ch, desc, v, p.Image)
		}
	}
	for stage, n := range counts {
		sendGauge(ch, c.count, float64(n), stage)
	}
}

// sendGauge leaves out what has a label value that Prometheus refuses.
func sendGauge(ch chan<- prometheus.Metric, d *prometheus.Desc, v float64, labels ...string) {
	if m, err := prometheus.NewConstMetric(d, prometheus.GaugeValue, v, labels...); err == nil {
		ch <- m
	}
}
