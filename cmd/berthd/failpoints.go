package main

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"
	"k8s.io/klog/v2"

	"github.com/berth-run/berth/container"
	"github.com/berth-run/berth/imageservice"
	"github.com/berth-run/berth/internal/failpoint"
	"github.com/berth-run/berth/internal/steps"
	"github.com/berth-run/berth/sandbox"
)

// failpoints names every place where a test can break the daemon.
func failpoints() []string {
	return slices.Concat(
		sandbox.Failpoints(), container.Failpoints(), imageservice.Failpoints(),
		steps.Points(recoverOperation, (&daemon{}).recoverPlan(), false),
	)
}

// armFailpoints arms what the environment says, which nobody does but tests.
func (d *daemon) armFailpoints(context.Context) error {
	d.failpoints = failpoint.New(failpoints())
	text := os.Getenv(failpoint.Env)
	if text != "" {
		klog.Background().Info("Failpoints are armed: this daemon is going to break", "points", text)
	}
	return d.failpoints.ArmAll(text)
}

// newFailpointsCommand lists the failpoints, for the tests that go through them all.
func newFailpointsCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "failpoints",
		Short:  "List the places where tests break the daemon",
		Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, point := range failpoints() {
				fmt.Fprintln(cmd.OutOrStdout(), point)
			}
			return nil
		},
	}
}
