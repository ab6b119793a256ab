package cri

import (
	"context"
	"time"

	"google.golang.org/grpc"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/container"
)

// containers are the RPCs about containers.
type containers struct{ manager *container.Manager }

// CreateContainer implements the RPC.
func (c containers) CreateContainer(ctx context.Context, r *runtimeapi.CreateContainerRequest) (*runtimeapi.CreateContainerResponse, error) {
	id, err := c.manager.Create(ctx, r.GetPodSandboxId(), r.GetConfig(), r.GetSandboxConfig())
	if err != nil {
		return nil, err
	}
	return &runtimeapi.CreateContainerResponse{ContainerId: id}, nil
}

// StartContainer implements the RPC.
func (c containers) StartContainer(ctx context.Context, r *runtimeapi.StartContainerRequest) (*runtimeapi.StartContainerResponse, error) {
	return &runtimeapi.StartContainerResponse{}, c.manager.Start(ctx, r.GetContainerId())
}

// StopContainer implements the RPC.
func (c containers) StopContainer(ctx context.Context, r *runtimeapi.StopContainerRequest) (*runtimeapi.StopContainerResponse, error) {
	return &runtimeapi.StopContainerResponse{}, c.manager.Stop(ctx, r.GetContainerId(), seconds(r.GetTimeout()))
}

// RemoveContainer implements the RPC.
func (c containers) RemoveContainer(ctx context.Context, r *runtimeapi.RemoveContainerRequest) (*runtimeapi.RemoveContainerResponse, error) {
	return &runtimeapi.RemoveContainerResponse{}, c.manager.Remove(ctx, r.GetContainerId())
}

// ListContainers implements the RPC.
func (c containers) ListContainers(_ context.Context, r *runtimeapi.ListContainersRequest) (*runtimeapi.ListContainersResponse, error) {
	entries, err := c.manager.List(r.GetFilter())
	if err != nil {
		return nil, err
	}
	resp := &runtimeapi.ListContainersResponse{}
	return resp, fillUnary(resp, entries, "StreamContainers")
}

// StreamContainers implements the RPC (KEP-5825).
func (c containers) StreamContainers(r *runtimeapi.StreamContainersRequest, s grpc.ServerStreamingServer[runtimeapi.StreamContainersResponse]) error {
	entries, err := c.manager.List(r.GetFilter())
	if err != nil {
		return err
	}
	return sendEntries(entries, s.Send)
}

// ContainerStatus implements the RPC.
func (c containers) ContainerStatus(ctx context.Context, r *runtimeapi.ContainerStatusRequest) (*runtimeapi.ContainerStatusResponse, error) {
	ctr, err := c.manager.Get(r.GetContainerId())
	if err != nil {
		return nil, err
	}
	resp := &runtimeapi.ContainerStatusResponse{Status: ctr.Status()}
	if r.GetVerbose() {
		return withInfo(resp, &resp.Info, func() (map[string]string, error) { return c.manager.Info(ctx, ctr) })
	}
	return resp, nil
}

// UpdateContainerResources implements the RPC.
func (c containers) UpdateContainerResources(ctx context.Context, r *runtimeapi.UpdateContainerResourcesRequest) (*runtimeapi.UpdateContainerResourcesResponse, error) {
	err := c.manager.UpdateResources(ctx, r.GetContainerId(), r.GetLinux())
	return &runtimeapi.UpdateContainerResourcesResponse{}, err
}

// ReopenContainerLog implements the RPC.
func (c containers) ReopenContainerLog(ctx context.Context, r *runtimeapi.ReopenContainerLogRequest) (*runtimeapi.ReopenContainerLogResponse, error) {
	return &runtimeapi.ReopenContainerLogResponse{}, c.manager.ReopenLog(ctx, r.GetContainerId())
}

// seconds is a duration of the API; a negative one counts as none.
func seconds(s int64) time.Duration {
	const most = int64(1<<63-1) / int64(time.Second)
	return time.Duration(min(max(s, 0), most)) * time.Second
}
