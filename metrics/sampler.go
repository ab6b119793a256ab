package metrics

import (
	"context"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/cgroup"
)

// Options configure a Sampler. Zero values are sensible.
type Options struct {
	// MaxAge is how old a sample may be that is served again; 0 means one second.
	MaxAge time.Duration
	// Usage accounts writable layers; nil leaves those figures out.
	Usage *UsageCache
	// Network reads a pod's interfaces; nil means from the namespace at PodRef.NetnsPath.
	Network func(ctx context.Context, netnsPath string) ([]Interface, error)
	// ProcRoot is "/proc" unless a test sets it.
	ProcRoot string
}

// Sampler measures pods and containers on demand. It is safe for concurrent use.
type Sampler struct{}

// NewSampler returns a sampler of what src lists, on the cgroup layout of host.
func NewSampler(host *cgroup.Host, src Source, opts Options) *Sampler { return &Sampler{} }

// ContainerStats answers CRI's ContainerStats. A container that is not known is
// errdefs.ErrNotFound; one that does not run has attributes and writable layer only.
func (s *Sampler) ContainerStats(ctx context.Context, id string) (*runtimeapi.ContainerStats, error) {
	return nil, nil
}

// ListContainerStats answers CRI's ListContainerStats for running containers that
// match the filter (full IDs, all labels). It never fails for a single container.
func (s *Sampler) ListContainerStats(ctx context.Context, filter *runtimeapi.ContainerStatsFilter) []*runtimeapi.ContainerStats {
	return nil
}

// PodSandboxStats answers CRI's PodSandboxStats; errdefs.ErrNotFound for an unknown pod.
func (s *Sampler) PodSandboxStats(ctx context.Context, id string) (*runtimeapi.PodSandboxStats, error) {
	return nil, nil
}

// ListPodSandboxStats answers CRI's ListPodSandboxStats for ready pods that match the filter.
func (s *Sampler) ListPodSandboxStats(ctx context.Context, filter *runtimeapi.PodSandboxStatsFilter) []*runtimeapi.PodSandboxStats {
	return nil
}

// MetricDescriptors answers CRI's ListMetricDescriptors.
func (s *Sampler) MetricDescriptors() []*runtimeapi.MetricDescriptor { return nil }

// PodSandboxMetrics answers CRI's ListPodSandboxMetrics.
func (s *Sampler) PodSandboxMetrics(ctx context.Context) []*runtimeapi.PodSandboxMetrics { return nil }
