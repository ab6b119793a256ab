package podtask

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	taskapi "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/ttrpc"
	"golang.org/x/sys/unix"
)

// errShimGone is the answer of a shim that has died. To containerd, and so to its
// callers, there is no task without a shim.
var errShimGone = fmt.Errorf("its shim has died: %w", errdefs.ErrNotFound)

// call connects to the shim at a socket for as long as do takes. Errors are classified
// with errdefs; errShimGone when there is no shim any more.
func call(ctx context.Context, socket string, do func(taskapi.TTRPCTaskService) error) error {
	conn, err := dial(ctx, socket)
	if err != nil {
		return err
	}
	client := ttrpc.NewClient(conn)
	defer client.Close()
	err = do(taskapi.NewTTRPCTaskClient(client))
	if errors.Is(err, ttrpc.ErrClosed) && ctx.Err() == nil {
		// The connection broke; did the shim end?
		again, derr := dial(ctx, socket)
		if derr != nil {
			return derr
		}
		again.Close()
		return fmt.Errorf("the connection to the shim broke: %w: %w", err, errdefs.ErrUnavailable)
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return err // of this side, hence without a status to translate
	}
	return errgrpc.ToNative(err)
}

func dial(ctx context.Context, socket string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	switch {
	case err == nil:
		return conn, nil
	case errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, os.ErrNotExist):
		return nil, errShimGone
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	return nil, fmt.Errorf("connect to the shim: %w: %w", err, errdefs.ErrUnavailable)
}
