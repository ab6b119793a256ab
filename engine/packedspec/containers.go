package packedspec

import (
	"context"
	"fmt"

	api "github.com/containerd/containerd/api/services/containers/v1"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/anypb"
)

// Containers is containerd's container service with specs packed behind it: what goes in and
// comes out is JSON.
func Containers(behind api.ContainersClient) api.ContainersClient { return containers{behind} }

type containers struct{ api.ContainersClient }

// Create implements api.ContainersClient.
func (s containers) Create(ctx context.Context, in *api.CreateContainerRequest, opts ...grpc.CallOption) (*api.CreateContainerResponse, error) {
	spec := in.GetContainer().GetSpec()
	if err := packIn(in.GetContainer()); err != nil {
		return nil, err
	}
	out, err := s.ContainersClient.Create(ctx, in, opts...)
	if err == nil && out.GetContainer() != nil {
		out.Container.Spec = spec // which need not be unpacked
	}
	return out, err
}

// Update implements api.ContainersClient.
func (s containers) Update(ctx context.Context, in *api.UpdateContainerRequest, opts ...grpc.CallOption) (*api.UpdateContainerResponse, error) {
	if err := packIn(in.GetContainer()); err != nil {
		return nil, err
	}
	out, err := s.ContainersClient.Update(ctx, in, opts...)
	if err != nil {
		return nil, err
	}
	return out, unpackIn(out.GetContainer())
}

// Get implements api.ContainersClient.
func (s containers) Get(ctx context.Context, in *api.GetContainerRequest, opts ...grpc.CallOption) (*api.GetContainerResponse, error) {
	out, err := s.ContainersClient.Get(ctx, in, opts...)
	if err != nil {
		return nil, err
	}
	return out, unpackIn(out.GetContainer())
}

// List implements api.ContainersClient. A spec that cannot be unpacked is left as it is, so that
// it hides no other container.
func (s containers) List(ctx context.Context, in *api.ListContainersRequest, opts ...grpc.CallOption) (*api.ListContainersResponse, error) {
	out, err := s.ContainersClient.List(ctx, in, opts...)
	for _, c := range out.GetContainers() {
		_ = unpackIn(c)
	}
	return out, err
}

// ListStream implements api.ContainersClient, as List.
func (s containers) ListStream(ctx context.Context, in *api.ListContainersRequest, opts ...grpc.CallOption) (api.Containers_ListStreamClient, error) {
	stream, err := s.ContainersClient.ListStream(ctx, in, opts...)
	if err != nil {
		return nil, err
	}
	return unpacking{stream}, nil
}

type unpacking struct {
	api.Containers_ListStreamClient
}

// Recv implements api.Containers_ListStreamClient.
func (s unpacking) Recv() (*api.ListContainerMessage, error) {
	m, err := s.Containers_ListStreamClient.Recv()
	if err == nil {
		_ = unpackIn(m.GetContainer())
	}
	return m, err
}

// packIn changes a request's container, which is the caller's: requests are made for one call.
func packIn(c *api.Container) error {
	return replaceSpec(c, Pack)
}

func unpackIn(c *api.Container) error {
	return replaceSpec(c, func(a *anypb.Any) (*anypb.Any, error) { return Unpack(a) })
}

func replaceSpec(c *api.Container, by func(*anypb.Any) (*anypb.Any, error)) error {
	if c.GetSpec() == nil {
		return nil
	}
	spec, err := by(c.GetSpec())
	if err != nil {
		return errgrpc.ToGRPC(fmt.Errorf("container %s: %w", c.GetID(), err))
	}
	c.Spec = spec
	return nil
}
