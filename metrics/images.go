package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Images observes image pulls (berth_image_*). A nil *Images observes nothing.
type Images struct {
	pulls      *prometheus.CounterVec
	durations  *prometheus.HistogramVec
	bytes      prometheus.Counter
	inProgress prometheus.Gauge
	hosts      *prometheus.CounterVec
}

func newImages(reg prometheus.Registerer) *Images {
	i := &Images{
		pulls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "berth_image_pulls_total", Help: "Image pulls that ended, by result.",
		}, []string{"result"}),
		durations: latency("berth_image_pull_duration_seconds", "How long image pulls took.", callBuckets(), "result"),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "berth_image_pull_bytes_total", Help: "Bytes fetched by image pulls.",
		}),
		inProgress: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "berth_image_pulls_in_progress", Help: "Image pulls under way.",
		}),
		hosts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "berth_image_host_failures_total", Help: "Requests that a configured registry host did not serve.",
		}, []string{"host"}),
	}
	reg.MustRegister(i.pulls, i.durations, i.bytes, i.inProgress, i.hosts)
	return i
}

// PullStarted records the beginning of a pull and returns the function that records
// its end: the bytes fetched and how it ended.
func (i *Images) PullStarted() (done func(bytes int64, err error)) {
	if i == nil {
		return func(int64, error) {}
	}
	start := time.Now()
	i.inProgress.Inc()
	return func(bytes int64, err error) {
		i.inProgress.Dec()
		i.bytes.Add(float64(max(bytes, 0)))
		i.pulls.WithLabelValues(result(err)).Inc()
		i.durations.WithLabelValues(result(err)).Observe(time.Since(start).Seconds())
	}
}

// HostFailed records that a registry host did not serve a request. Pass hosts of the
// configuration only, since each makes a series.
func (i *Images) HostFailed(host string) {
	if i == nil {
		return
	}
	i.hosts.WithLabelValues(host).Inc()
}
