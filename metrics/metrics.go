package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
)

// Build says what was built, for berth_build_info.
type Build struct {
	// Version and Revision are Berth's own, GoVersion and Containerd those of its parts.
	Version, Revision, GoVersion, Containerd string
}

// Metrics holds the registry and the instruments of one daemon.
type Metrics struct {
	// Registry has everything that /metrics shows.
	Registry *prometheus.Registry
	// Stages, RPC, CNI and Images are never nil in a Metrics from New.
	Stages *Stages
	RPC    *RPC
	CNI    *CNI
	Images *Images
}

// New returns a registry with Go, process and build collectors and all instruments.
func New(build Build) *Metrics { return &Metrics{Registry: prometheus.NewRegistry()} }

// RegisterSource adds gauges of pods and containers by state, taken from src at each scrape.
func (m *Metrics) RegisterSource(src Source) error { return nil }

// RegisterSampler adds the container_* metrics, taken from s at each scrape.
func (m *Metrics) RegisterSampler(s *Sampler) error { return nil }

// Stages observes how long each stage of an operation took
// (berth_stage_duration_seconds). A nil *Stages observes nothing.
type Stages struct{}

// Observe records one stage: op is the CRI call in the field's words ("RunPodSandbox"),
// stage one of few constant names ("netns", "cni", "snapshot", "spec", "shim", "create", "start").
func (s *Stages) Observe(op, stage string, d time.Duration) {}

// Time starts a stage and returns the function that records it:
// defer stages.Time("RunPodSandbox", "cni")().
func (s *Stages) Time(op, stage string) func() { return func() {} }

// RPC observes the gRPC calls of the CRI server (berth_cri_requests_*).
type RPC struct{}

// Unary is the interceptor for ordinary calls. Install it outside of the one that
// maps errors to codes, so that it sees the code the client gets.
func (r *RPC) Unary() grpc.UnaryServerInterceptor { return nil }

// Stream is the interceptor for streaming calls.
func (r *RPC) Stream() grpc.StreamServerInterceptor { return nil }

// CNI observes plugin chains (berth_cni_*). A nil *CNI observes nothing.
type CNI struct{}

// Observe records one operation: verb is "ADD", "DEL", "CHECK", "STATUS" or "GC".
func (c *CNI) Observe(network, verb string, d time.Duration, err error) {}

// Images observes image pulls (berth_image_pull*). A nil *Images observes nothing.
type Images struct{}

// PullStarted records the beginning of a pull and returns the function that records its end.
func (i *Images) PullStarted() (done func(bytes int64, err error)) { return func(int64, error) {} }

// HostFailed records that a registry host did not serve a request.
func (i *Images) HostFailed(host string) {}
