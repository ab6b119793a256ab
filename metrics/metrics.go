package metrics

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Build says what was built, for berth_build_info.
type Build struct {
	// Version and Revision are Berth's own, GoVersion, Containerd and CRI those of its parts.
	Version, Revision, GoVersion, Containerd, CRI string
	// CgroupDriver and CgroupMode tell what the host has ("systemd", "v2").
	CgroupDriver, CgroupMode string
}

// Metrics holds the registry and the instruments of one daemon.
type Metrics struct {
	// Registry has what /metrics shows but for the container_* metrics.
	Registry *prometheus.Registry
	// Stages, RPC, CNI, Images, Sessions, Exits, Task and Shim are never nil in a Metrics from New.
	Stages   *Stages
	RPC      *RPC
	CNI      *CNI
	Images   *Images
	Sessions *Sessions
	Exits    *Exits
	// Task observes calls of containerd's task service, hence of the shims behind it; Shim
	// those of the shims' control sockets.
	Task, Shim *Calls

	sampler *Sampler // nil shows no containers
	scrapes prometheus.Histogram
}

// New returns a registry with Go, process and build collectors and all instruments.
func New(build Build) *Metrics {
	reg := prometheus.NewRegistry()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "berth_build_info",
		Help: "Always 1; the labels say what was built.",
		ConstLabels: prometheus.Labels{
			"version": build.Version, "revision": build.Revision,
			"goversion": build.GoVersion, "containerd": build.Containerd, "cri": build.CRI,
			"cgroup_driver": build.CgroupDriver, "cgroup_mode": build.CgroupMode,
		},
	})
	info.Set(1)
	scrapes := prometheus.NewHistogram(histogram("berth_scrape_duration_seconds", "How long scrapes of this endpoint took.", stageBuckets()))
	reg.MustRegister(
		scrapes,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		info,
	)
	return &Metrics{
		Registry: reg,
		scrapes:  scrapes,
		Stages:   newStages(reg),
		RPC:      newRPC(reg),
		CNI:      newCNI(reg),
		Images:   newImages(reg),
		Sessions: newSessions(reg),
		Exits:    newExits(reg),
		Task:     newCalls(reg, "berth_task", "containerd's task service (and so of the shims behind it)"),
		Shim:     newCalls(reg, "berth_shim", "the shims' control sockets"),
	}
}

// RegisterSource adds gauges of pods and containers by state, taken from src at each scrape.
func (m *Metrics) RegisterSource(src Source) error {
	if err := m.Registry.Register(newStateCollector(src)); err != nil {
		return fmt.Errorf("register the metrics of pods and containers by state: %w", err)
	}
	return nil
}

// RegisterSampler adds the container_* metrics, taken from s at each scrape. They are not in the
// registry, see exposition.
func (m *Metrics) RegisterSampler(s *Sampler) error {
	if err := m.Registry.Register(newPassCollector(s)); err != nil {
		return fmt.Errorf("register the metrics of samples: %w", err)
	}
	m.sampler = s
	return nil
}

// latency is how every duration is measured: ordinary buckets for any Prometheus,
// native ones (within 10 % of the true value) where they are scraped.
func latency(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(histogram(name, help, buckets), labels)
}

func histogram(name, help string, buckets []float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{
		Name: name, Help: help, Buckets: buckets,
		NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100, NativeHistogramMinResetDuration: time.Hour,
	}
}

// callBuckets span a read from memory to a pull of minutes, stageBuckets the stages of a pod's start.
func callBuckets() []float64 {
	return []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 120, 600}
}

func stageBuckets() []float64 {
	return []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 15, 60}
}
