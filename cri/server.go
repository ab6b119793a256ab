package cri

import (
	"context"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"google.golang.org/grpc"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/container"
	"github.com/berth-run/berth/cri/streaming"
	"github.com/berth-run/berth/imageservice"
	"github.com/berth-run/berth/internal/budget"
	"github.com/berth-run/berth/internal/events"
	"github.com/berth-run/berth/metrics"
	"github.com/berth-run/berth/sandbox"
)

// writeBuffer is how much of an answer is written at once, in bytes: most lists whole. A
// connection has it only while it writes.
const writeBuffer = 128 << 10

// Runtime is the RuntimeService.
type Runtime struct {
	unimplemented
	pods
	containers
	sessions
	stats
	node
	feed
}

// unimplemented answers what no group does. It is one level down, so that the
// groups' methods win.
type unimplemented struct {
	runtimeapi.UnimplementedRuntimeServiceServer
}

// Images is the ImageService.
type Images struct {
	runtimeapi.UnimplementedImageServiceServer
	images *imageservice.Service
}

// Options are the parts behind the API.
type Options struct {
	Pods       *sandbox.Manager
	Containers *container.Manager
	Images     *imageservice.Service
	Streaming  *streaming.Server
	Sampler    *metrics.Sampler
	Events     *events.Hub
	Node       NodeOptions
	// Stop ends subscriptions of events when the daemon stops.
	Stop context.Context
	// RPC observes calls; may be nil.
	RPC *metrics.RPC
	// GRPC are further options of the server.
	GRPC []grpc.ServerOption
}

// NewServer makes the gRPC server with both services registered.
func NewServer(o Options) *grpc.Server {
	unary := []grpc.UnaryServerInterceptor{classifyUnary, recovery.UnaryServerInterceptor(recovery.WithRecoveryHandlerContext(recovered))}
	stream := []grpc.StreamServerInterceptor{classifyStream, recovery.StreamServerInterceptor(recovery.WithRecoveryHandlerContext(recovered))}
	if o.RPC != nil {
		unary = append([]grpc.UnaryServerInterceptor{o.RPC.Unary()}, unary...)
		stream = append([]grpc.StreamServerInterceptor{o.RPC.Stream()}, stream...)
	}
	unary = append([]grpc.UnaryServerInterceptor{answerInTime}, unary...)
	s := grpc.NewServer(append(o.GRPC,
		grpc.ChainUnaryInterceptor(unary...),
		grpc.ChainStreamInterceptor(stream...),
		grpc.ForceServerCodecV2(newCodec()),
		grpc.WriteBufferSize(writeBuffer),
		grpc.SharedWriteBuffer(true),
		grpc.MaxRecvMsgSize(budget.Message),
		grpc.MaxSendMsgSize(budget.Message),
	)...)
	runtimeapi.RegisterRuntimeServiceServer(s, &Runtime{
		pods:       pods{o.Pods, o.Containers},
		containers: containers{o.Containers},
		sessions:   sessions{o.Containers, o.Pods, o.Streaming},
		stats:      stats{o.Sampler, o.Containers, o.Pods},
		node:       node{o.Node},
		feed:       feed{o.Events, o.Stop},
	})
	runtimeapi.RegisterImageServiceServer(s, &Images{images: o.Images})
	return s
}
