package cri

import (
	"context"
	"time"

	"google.golang.org/grpc"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/container"
	"github.com/berth-run/berth/internal/budget"
	"github.com/berth-run/berth/internal/report"
	"github.com/berth-run/berth/sandbox"
)

// pods are the RPCs about pod sandboxes.
type pods struct {
	manager    *sandbox.Manager
	containers *container.Manager
}

// RunPodSandbox implements the RPC.
func (p pods) RunPodSandbox(ctx context.Context, r *runtimeapi.RunPodSandboxRequest) (*runtimeapi.RunPodSandboxResponse, error) {
	id, err := p.manager.Run(ctx, r.GetConfig(), r.GetRuntimeHandler())
	if err != nil {
		return nil, err
	}
	return &runtimeapi.RunPodSandboxResponse{PodSandboxId: id}, nil
}

// StopPodSandbox implements the RPC.
func (p pods) StopPodSandbox(ctx context.Context, r *runtimeapi.StopPodSandboxRequest) (*runtimeapi.StopPodSandboxResponse, error) {
	return &runtimeapi.StopPodSandboxResponse{}, p.manager.Stop(ctx, r.GetPodSandboxId())
}

// RemovePodSandbox implements the RPC.
func (p pods) RemovePodSandbox(ctx context.Context, r *runtimeapi.RemovePodSandboxRequest) (*runtimeapi.RemovePodSandboxResponse, error) {
	return &runtimeapi.RemovePodSandboxResponse{}, p.manager.Remove(ctx, r.GetPodSandboxId())
}

// ListPodSandbox implements the RPC.
func (p pods) ListPodSandbox(_ context.Context, r *runtimeapi.ListPodSandboxRequest) (*runtimeapi.ListPodSandboxResponse, error) {
	entries, err := p.manager.List(r.GetFilter())
	if err != nil {
		return nil, err
	}
	resp := &runtimeapi.ListPodSandboxResponse{}
	return resp, fillUnary(resp, entries, "StreamPodSandboxes")
}

// StreamPodSandboxes implements the RPC (KEP-5825).
func (p pods) StreamPodSandboxes(r *runtimeapi.StreamPodSandboxesRequest, s grpc.ServerStreamingServer[runtimeapi.StreamPodSandboxesResponse]) error {
	entries, err := p.manager.List(r.GetFilter())
	if err != nil {
		return err
	}
	return sendEntries(entries, s.Send)
}

// UpdatePodSandboxResources implements the RPC.
func (p pods) UpdatePodSandboxResources(ctx context.Context, r *runtimeapi.UpdatePodSandboxResourcesRequest) (*runtimeapi.UpdatePodSandboxResourcesResponse, error) {
	err := p.manager.UpdateResources(ctx, r.GetPodSandboxId(), r.GetOverhead(), r.GetResources())
	return &runtimeapi.UpdatePodSandboxResourcesResponse{}, err
}

// PodSandboxStatus implements the RPC.
func (p pods) PodSandboxStatus(_ context.Context, r *runtimeapi.PodSandboxStatusRequest) (*runtimeapi.PodSandboxStatusResponse, error) {
	status, s, err := p.manager.Status(r.GetPodSandboxId())
	if err != nil {
		return nil, err
	}
	resp := &runtimeapi.PodSandboxStatusResponse{
		Status:             status,
		ContainersStatuses: p.containers.PodStatuses(s.ID),
		Timestamp:          time.Now().UnixNano(),
	}
	report.Fit(resp, budget.Message)
	if r.GetVerbose() {
		report.Fit(resp, budget.StreamMessage) // the rest of the message is for the info
		return withInfo(resp, &resp.Info, func() (map[string]string, error) { return p.manager.Info(s) })
	}
	return resp, nil
}
