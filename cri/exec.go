package cri

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/encoding/protowire"
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
	out, code, err := s.containers.ExecSync(ctx, r.GetContainerId(), r.GetCmd(), seconds(r.GetTimeout()))
	if err != nil {
		return nil, err
	}
	defer out.Release()
	return execAnswer(out, int32(code)), nil
}

// execAnswer encodes the answer at once, as fillList does for lists: output of some MiB is copied a
// single time.
func execAnswer(out *container.Output, code int32) *runtimeapi.ExecSyncResponse {
	const stdout, stderr, exitCode = 1, 2, 3 // field numbers of ExecSyncResponse
	resp := &runtimeapi.ExecSyncResponse{}
	if out.Stdout.Len()+out.Stderr.Len() == 0 {
		resp.ExitCode = code
		return resp
	}
	const rest = 32 // tags, lengths and the code
	wire := (*buffers.Get(out.Stdout.Len() + out.Stderr.Len() + rest))[:0]
	if n := out.Stdout.Len(); n > 0 {
		wire = out.Stdout.AppendTo(protowire.AppendVarint(protowire.AppendTag(wire, stdout, protowire.BytesType), uint64(n)))
	}
	if n := out.Stderr.Len(); n > 0 {
		wire = out.Stderr.AppendTo(protowire.AppendVarint(protowire.AppendTag(wire, stderr, protowire.BytesType), uint64(n)))
	}
	if code != 0 {
		wire = protowire.AppendVarint(protowire.AppendTag(wire, exitCode, protowire.VarintType), uint64(code))
	}
	resp.ProtoReflect().SetUnknown(wire)
	return resp
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
