package cri

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/container"
	"github.com/berth-run/berth/internal/budget"
	"github.com/berth-run/berth/internal/index"
	"github.com/berth-run/berth/metrics"
	"github.com/berth-run/berth/sandbox"
)

// stats are the RPCs about what pods and containers use.
type stats struct {
	sampler    *metrics.Sampler
	containers *container.Manager
	pods       *sandbox.Manager
}

// ContainerStats implements the RPC.
func (s stats) ContainerStats(ctx context.Context, r *runtimeapi.ContainerStatsRequest) (*runtimeapi.ContainerStatsResponse, error) {
	c, err := s.containers.Get(r.GetContainerId())
	if err != nil {
		return nil, err
	}
	st, err := s.sampler.ContainerStats(ctx, c.ID)
	return &runtimeapi.ContainerStatsResponse{Stats: st}, err
}

// ListContainerStats implements the RPC.
func (s stats) ListContainerStats(ctx context.Context, r *runtimeapi.ListContainerStatsRequest) (*runtimeapi.ListContainerStatsResponse, error) {
	resp := &runtimeapi.ListContainerStatsResponse{}
	return resp, fillUnary(resp, s.ofContainers(ctx, r.GetFilter()), "StreamContainerStats")
}

// StreamContainerStats implements the RPC (KEP-5825).
func (s stats) StreamContainerStats(r *runtimeapi.StreamContainerStatsRequest, out grpc.ServerStreamingServer[runtimeapi.StreamContainerStatsResponse]) error {
	return sendEntries(s.ofContainers(out.Context(), r.GetFilter()), out.Send)
}

// ofContainers resolves the prefixes of a filter; what fits nothing selects nothing.
func (s stats) ofContainers(ctx context.Context, f *runtimeapi.ContainerStatsFilter) []index.Entry {
	if f == nil {
		return s.sampler.ListContainerStats(ctx, nil)
	}
	full := &runtimeapi.ContainerStatsFilter{LabelSelector: f.GetLabelSelector()}
	if f.GetId() != "" {
		c, err := s.containers.Get(f.GetId())
		if err != nil {
			return nil
		}
		full.Id = c.ID
	}
	if f.GetPodSandboxId() != "" {
		p, err := s.pods.Get(f.GetPodSandboxId())
		if err != nil {
			return nil
		}
		full.PodSandboxId = p.ID
	}
	return s.sampler.ListContainerStats(ctx, full)
}

// PodSandboxStats implements the RPC.
func (s stats) PodSandboxStats(ctx context.Context, r *runtimeapi.PodSandboxStatsRequest) (*runtimeapi.PodSandboxStatsResponse, error) {
	p, err := s.pods.Get(r.GetPodSandboxId())
	if err != nil {
		return nil, err
	}
	st, err := s.sampler.PodSandboxStats(ctx, p.ID)
	return &runtimeapi.PodSandboxStatsResponse{Stats: st}, err
}

// ListPodSandboxStats implements the RPC.
func (s stats) ListPodSandboxStats(ctx context.Context, r *runtimeapi.ListPodSandboxStatsRequest) (*runtimeapi.ListPodSandboxStatsResponse, error) {
	resp := &runtimeapi.ListPodSandboxStatsResponse{}
	return resp, fillUnary(resp, s.ofPods(ctx, r.GetFilter()), "StreamPodSandboxStats")
}

// StreamPodSandboxStats implements the RPC (KEP-5825).
func (s stats) StreamPodSandboxStats(r *runtimeapi.StreamPodSandboxStatsRequest, out grpc.ServerStreamingServer[runtimeapi.StreamPodSandboxStatsResponse]) error {
	return sendEntries(s.ofPods(out.Context(), r.GetFilter()), out.Send)
}

func (s stats) ofPods(ctx context.Context, f *runtimeapi.PodSandboxStatsFilter) []index.Entry {
	if f.GetId() == "" {
		return s.sampler.ListPodSandboxStats(ctx, f)
	}
	p, err := s.pods.Get(f.GetId())
	if err != nil {
		return nil
	}
	return s.sampler.ListPodSandboxStats(ctx, &runtimeapi.PodSandboxStatsFilter{Id: p.ID, LabelSelector: f.GetLabelSelector()})
}

// ListMetricDescriptors implements the RPC.
func (s stats) ListMetricDescriptors(context.Context, *runtimeapi.ListMetricDescriptorsRequest) (*runtimeapi.ListMetricDescriptorsResponse, error) {
	return &runtimeapi.ListMetricDescriptorsResponse{Descriptors: s.sampler.MetricDescriptors()}, nil
}

// ListPodSandboxMetrics implements the RPC.
func (s stats) ListPodSandboxMetrics(ctx context.Context, _ *runtimeapi.ListPodSandboxMetricsRequest) (*runtimeapi.ListPodSandboxMetricsResponse, error) {
	resp, pods := s.sampler.PodSandboxMetrics(ctx)
	if size := proto.Size(resp); size > budget.Message {
		return nil, tooLong(pods, size, "StreamPodSandboxMetrics")
	}
	return resp, nil
}

// StreamPodSandboxMetrics implements the RPC (KEP-5825).
func (s stats) StreamPodSandboxMetrics(_ *runtimeapi.StreamPodSandboxMetricsRequest, out grpc.ServerStreamingServer[runtimeapi.StreamPodSandboxMetricsResponse]) error {
	return s.sampler.StreamPodSandboxMetrics(out.Context(), budget.StreamMessage, out.Send)
}
