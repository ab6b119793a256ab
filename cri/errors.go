package cri

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/klog/v2"
)

// classes maps the classes of errors to codes. An error may wrap several classes: the first one in this list counts,
// so the classes that say more come first.
var classes = []struct {
	is   func(error) bool
	code codes.Code
}{
	{errdefs.IsInvalidArgument, codes.InvalidArgument},
	{errdefs.IsNotFound, codes.NotFound},
	{errdefs.IsAlreadyExists, codes.AlreadyExists},
	{errdefs.IsPermissionDenied, codes.PermissionDenied},
	{errdefs.IsUnauthorized, codes.Unauthenticated},
	{errdefs.IsFailedPrecondition, codes.FailedPrecondition},
	{errdefs.IsResourceExhausted, codes.ResourceExhausted},
	{errdefs.IsDataLoss, codes.DataLoss},
	{errdefs.IsNotImplemented, codes.Unimplemented},
	{errdefs.IsOutOfRange, codes.OutOfRange},
	{errdefs.IsAborted, codes.Aborted},
	{errdefs.IsDeadlineExceeded, codes.DeadlineExceeded},
	{errdefs.IsUnavailable, codes.Unavailable},
	{errdefs.IsCanceled, codes.Canceled},
}

// toStatus gives an error its gRPC code. An error that has a code keeps it. An error without a class is Internal.
func toStatus(err error) error {
	if err == nil {
		return nil
	}
	if s := statusIn(err); s != nil && s.Code() != codes.Unknown && s.Code() != codes.OK {
		// Its text has the code in words, which the client adds once more.
		return status.Error(s.Code(), once(strings.ReplaceAll(err.Error(), s.Err().Error(), s.Message())))
	}
	for _, c := range classes {
		if c.is(err) {
			return status.Error(c.code, once(err.Error()))
		}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return status.Error(codes.DeadlineExceeded, err.Error())
	}
	return status.Error(codes.Internal, err.Error())
}

// once drops the end of a text that repeats what is before it. An error that came over the shim's or containerd's
// socket has its class in its text, and gets it once more where it becomes an error of this process.
func once(text string) string {
	for {
		i := strings.LastIndex(text, ": ")
		if i < 0 || !strings.HasSuffix(text[:i], text[i:]) {
			return text
		}
		text = text[:i]
	}
}

// statusIn is the first gRPC status in an error, nil for none.
func statusIn(err error) *status.Status {
	var s interface{ GRPCStatus() *status.Status }
	if !errors.As(err, &s) {
		return nil
	}
	return s.GRPCStatus()
}

func classifyUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	resp, err := handler(ctx, req)
	if err != nil {
		err = toStatus(err)
		klog.FromContext(ctx).V(4).Info("Call failed", "rpc", info.FullMethod, "code", status.Code(err), "err", err)
	}
	return resp, err
}

func classifyStream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	err := handler(srv, ss)
	if err != nil {
		err = toStatus(err)
		klog.FromContext(ss.Context()).V(4).Info("Call failed", "rpc", info.FullMethod, "code", status.Code(err), "err", err)
	}
	return err
}

// recovered makes a panic in a handler an error of that call.
func recovered(ctx context.Context, p any) error {
	klog.FromContext(ctx).Error(nil, "Panic in a handler", "panic", p, "stack", string(debug.Stack()))
	return fmt.Errorf("panic in the handler: %v (please report this): %w", p, errdefs.ErrInternal)
}
