package daemon

import (
	"context"
	"fmt"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// maxMessage is what the kubelet takes.
const maxMessage = 16 << 20

func (d *Daemon) dial() (err error) {
	if d.conn, err = Dial(d.Socket); err != nil {
		return err
	}
	d.Runtime, d.Image = runtimeapi.NewRuntimeServiceClient(d.conn), runtimeapi.NewImageServiceClient(d.conn)
	return nil
}

// Dial makes a connection to a CRI socket that comes back soon after a restart.
func Dial(socket string) (*grpc.ClientConn, error) {
	again := backoff.Config{BaseDelay: 10 * time.Millisecond, Multiplier: 1.5, MaxDelay: 100 * time.Millisecond}
	return grpc.NewClient("unix://"+socket,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: again, MinConnectTimeout: time.Second}),
		grpc.WithIdleTimeout(0),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)))
}

// connected returns when a call gets through.
func (d *Daemon) connected(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	d.conn.ResetConnectBackoff()
	if _, err := d.Runtime.Version(ctx, &runtimeapi.VersionRequest{}, grpc.WaitForReady(true)); err != nil {
		return fmt.Errorf("calling berthd after it said that it is ready: %w", err)
	}
	return nil
}

// callTimeout is how long a test waits for a call, or for something to happen.
const callTimeout = 60 * time.Second

// Context is for the calls of a test: it has a deadline, and outlives the test's own
// context so that clean-up functions can use it.
func Context(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), callTimeout)
	t.Cleanup(cancel)
	return ctx
}
