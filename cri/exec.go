package cri

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/container"
	"github.com/berth-run/berth/cri/streaming"
	"github.com/berth-run/berth/sandbox"
)

// sessions are the RPCs that run commands and hand out URLs of streams.
type sessions struct {
	containers *container.Manager
	pods       *sandbox.Manager
	server     *streaming.Server
}

// ExecSync implements the RPC.
func (s sessions) ExecSync(ctx context.Context, r *runtimeapi.ExecSyncRequest) (*runtimeapi.ExecSyncResponse, error) {
	if len(r.GetCmd()) == 0 {
		return nil, fmt.Errorf("cmd is empty: %w", errdefs.ErrInvalidArgument)
	}
	if r.GetTimeout() < 0 {
		return nil, fmt.Errorf("timeout is %d: %w", r.GetTimeout(), errdefs.ErrInvalidArgument)
	}
	stdout, stderr, code, err := s.containers.ExecSync(ctx, r.GetContainerId(), r.GetCmd(), seconds(r.GetTimeout()))
	if err != nil {
		return nil, err
	}
	return &runtimeapi.ExecSyncResponse{Stdout: stdout, Stderr: stderr, ExitCode: int32(code)}, nil
}

// Exec implements the RPC.
func (s sessions) Exec(_ context.Context, r *runtimeapi.ExecRequest) (*runtimeapi.ExecResponse, error) {
	c, err := s.containers.NeedRunning(r.GetContainerId(), "run a command in it")
	if err != nil {
		return nil, err
	}
	if len(r.GetCmd()) == 0 {
		return nil, fmt.Errorf("cmd is empty: %w", errdefs.ErrInvalidArgument)
	}
	r.ContainerId = c.ID
	return s.server.Exec(r)
}

// Attach implements the RPC.
func (s sessions) Attach(_ context.Context, r *runtimeapi.AttachRequest) (*runtimeapi.AttachResponse, error) {
	c, err := s.containers.NeedRunning(r.GetContainerId(), "attach to it")
	if err != nil {
		return nil, err
	}
	r.ContainerId = c.ID
	return s.server.Attach(r)
}

// PortForward implements the RPC.
func (s sessions) PortForward(ctx context.Context, r *runtimeapi.PortForwardRequest) (*runtimeapi.PortForwardResponse, error) {
	if _, err := s.pods.PodNetwork(ctx, r.GetPodSandboxId()); err != nil {
		return nil, err
	}
	return s.server.PortForward(r)
}

// Backend gives the streaming server the domain.
type Backend struct {
	Containers *container.Manager
	Pods       *sandbox.Manager
}

// Exec implements streaming.Backend.
func (b Backend) Exec(ctx context.Context, id string, cmd []string, io streaming.IO) (uint32, error) {
	return b.Containers.Exec(ctx, id, cmd, io)
}

// Attach implements streaming.Backend.
func (b Backend) Attach(ctx context.Context, id string, io streaming.IO) error {
	return b.Containers.Attach(ctx, id, io)
}

// PodNetwork implements streaming.Backend.
func (b Backend) PodNetwork(ctx context.Context, id string) (streaming.PodNetwork, error) {
	return b.Pods.PodNetwork(ctx, id)
}
