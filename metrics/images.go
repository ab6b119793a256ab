package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// maxHosts bounds the registries that have series of their own.
const maxHosts = 32

// Images observes image pulls (berth_image_*). A nil *Images observes nothing.
type Images struct {
	hosts *boundedLabel

	pulls, failures, bytes                    *prometheus.CounterVec
	durations                                 *prometheus.HistogramVec
	joined, unpackedBytes                     prometheus.Counter
	queued, throughput, layers, fetch, unpack prometheus.Histogram
}

func newImages(reg prometheus.Registerer) *Images {
	i := &Images{hosts: newBoundedLabel(maxHosts)}
	i.countPulls(reg)
	i.measurePulls(reg)
	return i
}

func (i *Images) countPulls(reg prometheus.Registerer) {
	i.pulls = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "berth_image_pulls_total", Help: "Image pulls that ended, by result.",
	}, []string{"result"})
	i.joined = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "berth_image_pulls_joined_total", Help: "Requests for a pull that was already under way and was joined.",
	})
	i.bytes = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "berth_image_pull_bytes_total", Help: "Bytes that came from registries for image pulls, by host.",
	}, []string{"host"})
	i.unpackedBytes = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "berth_image_unpacked_bytes_total", Help: "Compressed bytes of layers that were unpacked.",
	})
	i.failures = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "berth_image_host_failures_total", Help: "Tries at a registry host that failed, by host and reason.",
	}, []string{"host", "reason"})
	reg.MustRegister(i.pulls, i.joined, i.bytes, i.unpackedBytes, i.failures)
}

func (i *Images) measurePulls(reg prometheus.Registerer) {
	i.durations = latency("berth_image_pull_duration_seconds", "How long image pulls took.", callBuckets(), "result")
	i.queued = prometheus.NewHistogram(histogram("berth_image_pull_queued_seconds",
		"How long image pulls waited for their turn.", callBuckets()))
	i.throughput = prometheus.NewHistogram(histogram("berth_image_pull_throughput_bytes_per_second",
		"Bytes from the network over the duration, of pulls that fetched something.", prometheus.ExponentialBuckets(64<<10, 4, 9)))
	i.layers = prometheus.NewHistogram(histogram("berth_image_pull_fetched_layers",
		"How many layers pulls that succeeded had to fetch.", []float64{0, 1, 2, 4, 8, 16, 32, 64}))
	i.fetch = prometheus.NewHistogram(histogram("berth_image_layer_fetch_duration_seconds",
		"How long the download of a layer took.", callBuckets()))
	i.unpack = prometheus.NewHistogram(histogram("berth_image_layer_unpack_duration_seconds",
		"How long a layer took from its first byte to its snapshot.", callBuckets()))
	reg.MustRegister(i.durations, i.queued, i.throughput, i.layers, i.fetch, i.unpack)
}

// Pull is how a pull of an image ended.
type Pull struct {
	// Bytes and Layers came over the network.
	Bytes  int64
	Layers int
	// Queued is the time it waited for its turn, Duration the whole.
	Queued, Duration time.Duration
	// Err is nil when it succeeded.
	Err error
}

// Pulled records the end of a pull.
func (i *Images) Pulled(p Pull) {
	if i == nil {
		return
	}
	i.pulls.WithLabelValues(result(p.Err)).Inc()
	i.durations.WithLabelValues(result(p.Err)).Observe(p.Duration.Seconds())
	i.queued.Observe(p.Queued.Seconds())
	if busy := p.Duration - p.Queued; p.Bytes > 0 && busy > 0 {
		i.throughput.Observe(float64(p.Bytes) / busy.Seconds())
	}
	if p.Err == nil {
		i.layers.Observe(float64(p.Layers))
	}
}

// PullJoined records a caller that joined a pull under way.
func (i *Images) PullJoined() {
	if i != nil {
		i.joined.Inc()
	}
}

// Fetched records bytes that arrived from a host.
func (i *Images) Fetched(host string, n int) {
	if i != nil {
		i.bytes.WithLabelValues(i.hosts.value(host)).Add(float64(n))
	}
}

// LayerFetched records the download of a layer.
func (i *Images) LayerFetched(took time.Duration) {
	if i != nil {
		i.fetch.Observe(took.Seconds())
	}
}

// LayerUnpacked records a layer, of so many compressed bytes, that became a snapshot.
func (i *Images) LayerUnpacked(size int64, took time.Duration) {
	if i != nil {
		i.unpackedBytes.Add(float64(max(size, 0)))
		i.unpack.Observe(took.Seconds())
	}
}

// HostFailed records a failed try at a registry host; reason is one of few words.
func (i *Images) HostFailed(host, reason string) {
	if i != nil {
		i.failures.WithLabelValues(i.hosts.value(host), reason).Inc()
	}
}
