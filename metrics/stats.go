package metrics

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/internal/index"
)

// ContainerStats answers CRI's ContainerStats. A container that is not known is
// errdefs.ErrNotFound; one that does not run has attributes and writable layer only.
func (s *Sampler) ContainerStats(ctx context.Context, id string) (*runtimeapi.ContainerStats, error) {
	c, ok := s.sample(ctx, containerStats).ctrByID[id]
	if !ok {
		return nil, fmt.Errorf("stats of container %s: %w", id, errdefs.ErrNotFound)
	}
	st := &runtimeapi.ContainerStats{}
	return st, c.entry().Decode(st)
}

// ListContainerStats answers CRI's ListContainerStats for running containers that
// match the filter (full IDs, all labels). It never fails for a single container.
func (s *Sampler) ListContainerStats(ctx context.Context, filter *runtimeapi.ContainerStatsFilter) []index.Entry {
	var out []index.Entry
	for _, c := range s.sample(ctx, containerStats).containers {
		if c.running() && matches(filter.GetId(), c.ref.ID) && matches(filter.GetPodSandboxId(), c.ref.PodID) &&
			selected(filter.GetLabelSelector(), c.ref.Labels) {
			out = append(out, c.entry())
		}
	}
	return out
}

// PodSandboxStats answers CRI's PodSandboxStats; errdefs.ErrNotFound for an unknown pod.
func (s *Sampler) PodSandboxStats(ctx context.Context, id string) (*runtimeapi.PodSandboxStats, error) {
	p, ok := s.sample(ctx, containerStats|podStats).podByID[id]
	if !ok {
		return nil, fmt.Errorf("stats of pod %s: %w", id, errdefs.ErrNotFound)
	}
	st := &runtimeapi.PodSandboxStats{}
	return st, p.entry().Decode(st)
}

// ListPodSandboxStats answers CRI's ListPodSandboxStats for ready pods that match the filter.
func (s *Sampler) ListPodSandboxStats(ctx context.Context, filter *runtimeapi.PodSandboxStatsFilter) []index.Entry {
	var out []index.Entry
	for _, p := range s.sample(ctx, containerStats|podStats).pods {
		if p.ready() && matches(filter.GetId(), p.ref.ID) && selected(filter.GetLabelSelector(), p.ref.Labels) {
			out = append(out, p.entry())
		}
	}
	return out
}

// matches compares an ID with that of a filter, where none matches all.
func matches(want, id string) bool { return want == "" || want == id }

// selected tells whether labels have all that a selector wants.
func selected(want, labels map[string]string) bool {
	for k, v := range want {
		if have, ok := labels[k]; !ok || have != v {
			return false
		}
	}
	return true
}

func (p *podSample) ready() bool {
	return p.ref.State == runtimeapi.PodSandboxState_SANDBOX_READY
}
