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

// ask connects to the shim at a socket for as long as do takes. Errors are classified
// with errdefs; errShimGone when there is no shim any more.
func ask(ctx context.Context, socket string, do func(taskapi.TTRPCTaskService) error) error {
	conn, err := dial(ctx, socket)
	if err != nil {
		return err
	}
	// Sending does not look at the context: a shim that hangs may not read all of it.
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	client := ttrpc.NewClient(conn)
	defer client.Close()
	err = do(taskapi.NewTTRPCTaskClient(client))
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, ttrpc.ErrClosed) {
		// The connection broke; did the shim end?
		again, derr := dial(ctx, socket)
		if derr != nil {
			return derr
		}
		again.Close()
		return fmt.Errorf("the connection to the shim broke: %w: %w", err, errdefs.ErrUnavailable)
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
