package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/config"
)

// endpoint is a CRI runtime to talk to.
type endpoint struct {
	runtimeapi.RuntimeServiceClient
	images runtimeapi.ImageServiceClient
	// address as crictl takes it, with unix://.
	address string
	version *runtimeapi.VersionResponse

	conn *grpc.ClientConn
	// own is the daemon that was started for the demonstration, or nil.
	own *daemon
}

// connect finds the runtime to use, or starts one.
func connect(ctx context.Context, p *printer) (*endpoint, error) {
	if a := os.Getenv("BERTH_ADDRESS"); a != "" {
		return dial(ctx, a)
	}
	if e, err := dial(ctx, config.Paths{State: config.DefaultState}.Socket()); err == nil {
		return e, nil
	}
	fmt.Fprintln(p.w, "No berthd is running; starting one for the demonstration.")
	d, err := startDaemon(ctx)
	if err != nil {
		return nil, err
	}
	e, err := dial(ctx, d.socket)
	if err != nil {
		d.stop(true)
		return nil, err
	}
	e.own = d
	return e, nil
}

// dial connects and makes sure that a runtime answers.
func dial(ctx context.Context, address string) (*endpoint, error) {
	if !strings.Contains(address, "://") {
		address = "unix://" + address
	}
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", address, err)
	}
	e := &endpoint{
		RuntimeServiceClient: runtimeapi.NewRuntimeServiceClient(conn),
		images:               runtimeapi.NewImageServiceClient(conn),
		address:              address,
		conn:                 conn,
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if e.version, err = e.Version(ctx, &runtimeapi.VersionRequest{}); err != nil {
		conn.Close()
		return nil, fmt.Errorf("asking the runtime at %s for its version: %w", address, err)
	}
	return e, nil
}

// close disconnects and stops a daemon that was started for the demonstration;
// failed shows the end of its log.
func (e *endpoint) close(failed bool) error {
	err := e.conn.Close()
	if e.own != nil {
		return e.own.stop(failed)
	}
	return err
}
