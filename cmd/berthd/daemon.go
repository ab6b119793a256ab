package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/cni"
	"github.com/berth-run/berth/config"
	"github.com/berth-run/berth/config/companions"
	"github.com/berth-run/berth/container"
	"github.com/berth-run/berth/cri"
	"github.com/berth-run/berth/cri/streaming"
	"github.com/berth-run/berth/engine"
	"github.com/berth-run/berth/imageservice"
	"github.com/berth-run/berth/internal/cgroup"
	"github.com/berth-run/berth/internal/events"
	"github.com/berth-run/berth/internal/failpoint"
	"github.com/berth-run/berth/internal/handler"
	"github.com/berth-run/berth/internal/hostinfo"
	"github.com/berth-run/berth/internal/steps"
	"github.com/berth-run/berth/internal/tracing"
	"github.com/berth-run/berth/internal/underway"
	"github.com/berth-run/berth/metrics"
	"github.com/berth-run/berth/sandbox"
)

// daemon is a running berthd: what it is made of, in the order in which it is made.
type daemon struct {
	config       *config.Config
	failpoints   *failpoint.Set
	find         *companions.Finder
	host         *hostinfo.Info
	cgroups      *cgroup.Host
	metrics      *metrics.Metrics
	tracing      *tracing.Tracing // nil: switched off
	engine       *engine.Engine
	snapshotters engine.Snapshotters
	handlers     *handler.Set
	network      *cni.Manager
	images       *imageservice.Service
	hub          *events.Hub
	containers   *container.Manager
	pods         *sandbox.Manager
	sampler      *metrics.Sampler
	usage        *metrics.UsageCache
	streaming    *streaming.Server
	exporter     *metrics.Server // nil: switched off
	trimmer      *trimmer

	feedCtx context.Context // ends when the daemon stops
	feedEnd context.CancelFunc
	closers []func() error // run in reverse
}

// close ends what assemble made, the last first. Pods go on running.
func (d *daemon) close() error {
	d.feedEnd()
	var errs []error
	for i := len(d.closers) - 1; i >= 0; i-- {
		errs = append(errs, d.closers[i]())
	}
	return errors.Join(errs...)
}

// closeTimeout bounds waiting for what goes on in the background at the end.
const closeTimeout = 5 * time.Second

func (d *daemon) onClose(fn func() error) { d.closers = append(d.closers, fn) }

// recover takes up what earlier daemons left running.
func (d *daemon) recover(ctx context.Context) error {
	plan := steps.Plan{Operation: recoverOperation, Root: d.recoverPlan(), Failpoints: d.failpoints}
	if err := plan.Up(ctx); err != nil {
		return fmt.Errorf("take up what runs on this node: %w", err)
	}
	return nil
}

// recoverOperation names start-up recovery among the failpoints.
const recoverOperation = "Recover"

// recoverPlan is what a daemon does before it serves.
func (d *daemon) recoverPlan() steps.Node {
	return steps.Seq{
		steps.Step{Name: "images", Do: func(ctx context.Context) error { return d.images.Recover(ctx) }},
		steps.Step{Name: "pods", Do: func(ctx context.Context) error { return d.pods.Load(ctx) }},
		steps.Step{Name: "containers", Do: func(ctx context.Context) error { return d.containers.Load(ctx) }},
		steps.Step{Name: "resume-containers", Do: func(ctx context.Context) error { return d.containers.Resume(ctx) }},
		steps.Step{Name: "resume-pods", Do: func(ctx context.Context) error { return d.pods.Resume(ctx) }},
	}
}

func (d *daemon) server() *grpc.Server {
	return cri.NewServer(cri.Options{
		Pods: d.pods, Containers: d.containers, Images: d.images, Streaming: d.streaming, Sampler: d.sampler,
		Events: d.hub, RPC: d.metrics.RPC, Stop: d.feedCtx,
		GRPC: append(d.tracing.ServerOptions(), grpc.ChainUnaryInterceptor(d.trimmer.unary)),
		Node: cri.NodeOptions{
			Version: version, Network: d.network, SavePodCIDR: func(cidr string) error { return savePodCIDR(d.config.Paths().PodCIDR(), cidr) }, Handlers: d.handlers.CRI(),
			Features: &runtimeapi.RuntimeFeatures{SupplementalGroupsPolicy: true, MountOptions: true},
			Systemd:  d.cgroups.Driver == cgroup.Systemd, Ready: d.engine.Ready, Damage: damage(d.engine), Info: d.info,
		},
	})
}

// damage says which databases were put aside when the daemon started, "" for none.
func damage(e *engine.Engine) string {
	var lines []string
	for _, q := range e.Quarantined {
		lines = append(lines, q.String())
	}
	return strings.Join(lines, "; ")
}

// hanging lists the operations on pods and containers that have been under way for long.
func (d *daemon) hanging() []underway.Operation {
	return slices.Concat(d.pods.Hanging(), d.containers.Hanging())
}

// info is what a verbose Status tells beyond the conditions.
func (d *daemon) info() map[string]any {
	var configuration any
	configuration, err := d.config.Object()
	if err != nil {
		configuration = err.Error()
	}
	versions := map[string]companions.Version{}
	for _, v := range companions.Own(version) {
		versions[v.Name] = v
	}
	return map[string]any{
		"version":       versions,
		"config":        configuration,
		"configSources": d.config.Sources(),
		"host":          d.host,
		"warnings":      append(d.host.Warnings(), d.handlers.LeftOut()...),
		"pulls":         d.images.Pulls(),
		"cniDetach":     d.pods.OwedDetaches(),
		"hanging":       d.hanging(),
		"containerd":    map[string]any{"address": d.engine.Address, "embedded": d.engine.Embedded},
	}
}
