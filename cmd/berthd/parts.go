package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/snapshots"
	"google.golang.org/grpc"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/klog/v2"
	"tags.cncf.io/container-device-interface/pkg/cdi"

	"github.com/berth-run/berth/cni"
	"github.com/berth-run/berth/config"
	"github.com/berth-run/berth/config/companions"
	"github.com/berth-run/berth/container"
	"github.com/berth-run/berth/container/ocispec"
	"github.com/berth-run/berth/cri"
	"github.com/berth-run/berth/cri/streaming"
	"github.com/berth-run/berth/engine"
	"github.com/berth-run/berth/imageservice"
	"github.com/berth-run/berth/internal/cgroup"
	"github.com/berth-run/berth/internal/events"
	"github.com/berth-run/berth/internal/failpoint"
	"github.com/berth-run/berth/internal/handler"
	"github.com/berth-run/berth/internal/hostinfo"
	"github.com/berth-run/berth/internal/private"
	"github.com/berth-run/berth/internal/steps"
	"github.com/berth-run/berth/internal/task"
	"github.com/berth-run/berth/internal/tracing"
	"github.com/berth-run/berth/internal/treesize"
	"github.com/berth-run/berth/internal/underway"
	"github.com/berth-run/berth/metrics"
	"github.com/berth-run/berth/sandbox"
)

// parts are what the daemon is made of, made in the order of the fields.
type parts struct {
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

// assemble makes the parts; on failure those that were made are closed.
func assemble(ctx context.Context, c *config.Config) (_ *parts, err error) {
	d := &parts{config: c, hub: &events.Hub{}, trimmer: newTrimmer()}
	d.feedCtx, d.feedEnd = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close())
		}
	}()
	for _, part := range []func(context.Context) error{
		d.armFailpoints, d.makeDirectories, d.lookAround, d.openEngine, d.makeHandlers, d.makeNetwork, d.makeImages,
		d.makePods, d.makeStats,
	} {
		if err := part(ctx); err != nil {
			return d, err
		}
	}
	return d, nil
}

// close ends the parts in reverse; pods go on running.
func (d *parts) close() error {
	d.feedEnd()
	var errs []error
	for i := len(d.closers) - 1; i >= 0; i-- {
		errs = append(errs, d.closers[i]())
	}
	return errors.Join(errs...)
}

// closeTimeout bounds waiting for what goes on in the background at the end.
const closeTimeout = 5 * time.Second

func (d *parts) onClose(fn func() error) { d.closers = append(d.closers, fn) }

func (d *parts) makeDirectories(context.Context) error {
	for dir, mode := range map[string]os.FileMode{d.config.Root: 0o711, d.config.State: 0o711} {
		if err := os.MkdirAll(dir, mode); err != nil {
			return fmt.Errorf("create the daemon's directory: %w", err)
		}
	}
	for _, dir := range d.config.Paths().Private() {
		if err := private.Directory(dir); err != nil {
			return err
		}
	}
	return nil
}

// lookAround finds out what the machine can do.
func (d *parts) lookAround(ctx context.Context) (err error) {
	if d.find, err = companions.New(); err != nil {
		return err
	}
	// The embedded containerd looks for shims in PATH, and containerd's own shim for runc: clients such as ctr and
	// BuildKit name neither by its path.
	if err := os.Setenv("PATH", d.find.SearchPath()); err != nil {
		return err
	}
	if d.host, err = hostinfo.Detect(ctx, hostinfo.Options{}); err != nil {
		return err
	}
	if err := container.LoadBlockIO(d.config.Container.BlockIOConfigFile); err != nil {
		return err
	}
	if d.cgroups, err = cgroup.Detect(cgroupDriver(d.config.Cgroup.Driver)); err != nil {
		return fmt.Errorf("cgroup.driver: %w", err)
	}
	d.metrics = metrics.New(buildInfo(d.cgroups))
	if d.tracing, err = tracing.New(ctx, version); err != nil {
		return err
	}
	d.onClose(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), lastSpans)
		defer cancel()
		return d.tracing.Close(ctx)
	})
	return nil
}

// lastSpans is how long the end of the daemon may wait for the collector of spans.
const lastSpans = 3 * time.Second

func (d *parts) openEngine(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, d.config.Containerd.ConnectTimeout.Duration)
	defer cancel()
	options := engineOptions(d.config)
	if options.Shim, err = d.find.Find(companions.Shim); err != nil {
		return err
	}
	if d.engine, err = engine.Open(ctx, options); err != nil {
		return err
	}
	d.metrics.RegisterDamage(len(d.engine.Quarantined))
	d.onClose(d.engine.Close)
	if d.snapshotters, err = d.engine.Snapshotters(ctx); err != nil {
		return err
	}
	if err := d.snapshotters.Check(d.config.Containerd.Snapshotter); err != nil {
		return fmt.Errorf("containerd.snapshotter: %w", err)
	}
	return nil
}

func (d *parts) makeHandlers(ctx context.Context) (err error) {
	d.handlers, err = handler.Resolve(ctx, d.config, handler.Node{
		Find: d.find, Host: d.host, Snapshotter: d.snapshotters.Check, Systemd: d.cgroups.Driver == cgroup.Systemd,
	})
	return err
}

func (d *parts) makeNetwork(context.Context) error {
	options, err := cniOptions(d.config)
	if err != nil {
		return err
	}
	options.Observer = cniObserver(d.metrics)
	if d.network, err = cni.New(options); err != nil {
		return err
	}
	cidr, err := os.ReadFile(d.config.Paths().PodCIDR())
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the pod CIDR: %w", err)
	}
	return d.network.SetPodCIDR(strings.TrimSpace(string(cidr)))
}

// savePodCIDR keeps what UpdateRuntimeConfig said for the next start.
func (d *parts) savePodCIDR(cidr string) error {
	path := d.config.Paths().PodCIDR()
	if err := os.MkdirAll(filepath.Dir(path), 0o711); err != nil {
		return fmt.Errorf("save the pod CIDR: %w", err)
	}
	if err := os.WriteFile(path+".new", []byte(cidr+"\n"), 0o644); err != nil {
		return fmt.Errorf("save the pod CIDR: %w", err)
	}
	return os.Rename(path+".new", path)
}

func (d *parts) makeImages(context.Context) (err error) {
	options := imageOptions(d.config)
	options.RuntimeHandlers = d.handlers.Snapshotters()
	options.Failpoints = d.failpoints
	options.Hooks = imageHooks(d.metrics)
	options.BesideLayer = d.volumeUsage
	if d.images, err = imageservice.New(d.engine.Client, options); err != nil {
		return err
	}
	d.onClose(d.images.Close)
	return nil
}

func (d *parts) makePods(context.Context) error {
	observe := d.stageObserver()
	announcer := &cri.Announcer{Hub: d.hub}
	initBinary, err := d.find.Find(companions.Init)
	if err != nil {
		return err
	}
	d.containers = container.New(container.Options{
		Config: d.config, Engine: d.engine, Images: d.images, Cgroups: d.cgroups, Host: d.host,
		CDI: devices(d.config), Failpoints: d.failpoints, Observe: observe, TaskCalls: d.callObserver(d.metrics.Task, "task"), Changed: d.containerChanged(announcer.Container), Forgotten: d.forgetUsage,
	})
	announcer.Containers = d.containers
	d.pods = sandbox.New(sandbox.Options{
		Config: d.config, Engine: d.engine, Network: d.network, Handlers: d.handlers, Cgroups: d.cgroups,
		Host: d.host, InitBinary: initBinary, Failpoints: d.failpoints, Observe: observe, TaskCalls: d.callObserver(d.metrics.Task, "task"), ShimCalls: d.callObserver(d.metrics.Shim, "shim"),
		Changed: d.podChanged(announcer.Pod),
	}, d.containers)
	d.containers.SetPods(d.pods)
	d.onClose(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), d.config.Pod.DrainTimeout.Duration)
		defer cancel()
		// Calls need both managers until the last of them has ended.
		err := errors.Join(interrupted(d.pods.Drain(ctx)), interrupted(d.containers.Drain(ctx)))
		ctx, cancel = context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		return errors.Join(err, interrupted(d.pods.Close(ctx)), interrupted(d.containers.Close(ctx)))
	})
	return nil
}

// devices is the cache of CDI specifications, nil when CDI is switched off.
func devices(c *config.Config) ocispec.CDIInjector {
	if len(c.CDI.SpecDirs) == 0 {
		return nil
	}
	cache, err := cdi.NewCache(cdi.WithSpecDirs(c.CDI.SpecDirs...))
	if err != nil {
		// Broken specifications are reported again for the container that needs one.
		klog.Background().Error(err, "Some CDI specifications cannot be read", "dirs", c.CDI.SpecDirs)
	}
	return cache
}

func (d *parts) forgetUsage(c *container.Container) {
	d.usage.Forget(c.Snapshotter, c.ID)
}

func (d *parts) makeStats(context.Context) error {
	d.usage = metrics.NewUsageCache(d.layerUsage, metrics.UsageOptions{Mountpoint: d.mountpoint})
	d.onClose(func() error { d.usage.Close(); return nil })
	source := &source{pods: d.pods, containers: d.containers}
	logs := metrics.NewLogCache(d.logUsage)
	tasks := task.New(d.engine.Client, d.config.Containerd.CallTimeout.Duration, d.callObserver(d.metrics.Task, "task"))
	d.sampler = metrics.NewSampler(d.cgroups, source, metrics.Options{
		Usage: d.usage, Logs: logs, Foreign: d.foreignSample(tasks),
	})
	stopLeaks := d.metrics.RegisterLeaks(d.leaks)
	d.onClose(func() error { stopLeaks(); logs.Close(); d.sampler.Close(); return nil })
	return errors.Join(d.metrics.RegisterSource(source), d.metrics.RegisterSampler(d.sampler))
}

// layerUsage measures the writable layer of a container, and the volumes that its image declares: to the
// kubelet both are what the container itself has written.
func (d *parts) layerUsage(ctx context.Context, snapshotter, key string) (bytes, inodes uint64, err error) {
	u, err := imageservice.LayerUsage(engine.Context(ctx), d.engine.Client.SnapshotService(snapshotter), key)
	if err != nil {
		return 0, 0, err
	}
	volumes, err := d.volumeUsage(ctx, key)
	return uint64(max(u.Size+volumes.Size, 0)), uint64(max(u.Inodes+volumes.Inodes, 0)), err
}

// volumeUsage measures the volumes that the image of a container declares.
func (d *parts) volumeUsage(ctx context.Context, id string) (snapshots.Usage, error) {
	if !fullID.MatchString(id) { // a snapshot of another client's
		return snapshots.Usage{}, nil
	}
	size, err := treesize.Of(ctx, d.config.Paths().ContainerVolumes(id))
	return snapshots.Usage{Size: size.Bytes, Inodes: size.Inodes}, err
}

func (d *parts) mountpoint(string) string {
	info, err := d.images.FsInfo(d.feedCtx)
	if err != nil {
		return d.config.Root
	}
	return info.Containers.Mountpoint
}

// openServers opens what answers at TCP ports. Recovery comes before: it tells which ports pods publish.
func (d *parts) openServers() error {
	return errors.Join(d.makeStreaming(), d.makeExporter())
}

// listen opens a TCP listener whose connections no pod receives.
func (d *parts) listen(address string) (net.Listener, error) {
	return listenApart(address, d.pods.PortOwner)
}

func (d *parts) makeStreaming() error {
	options, err := streamingConfig(d.config)
	if err != nil {
		return err
	}
	options.Listen = d.listen
	options.Observe = d.metrics.Sessions.Begin
	d.streaming, err = streaming.NewServer(options, cri.Backend{Containers: d.containers, Pods: d.pods})
	return err
}

func (d *parts) makeExporter() error {
	checks := []metrics.Check{
		{Name: "runtime", Ready: d.engine.Ready},
		{Name: "network", Ready: d.networkReady},
	}
	d.observeState(checks)
	options, err := metricsOptions(d.config)
	if err != nil || options.Address == "" {
		return err
	}
	options.Listen = d.listen
	options.Live = []metrics.Check{{Name: "lists", Ready: func() error { return d.healthy(d.feedCtx) }}}
	options.Ready = checks
	d.exporter, err = metrics.NewServer(d.metrics, options)
	return err
}

func (d *parts) networkReady() error {
	if s := d.network.Status(); !s.Ready {
		return fmt.Errorf("%s: %s", s.Reason, s.Message)
	}
	return nil
}

// recover takes up what earlier daemons left running.
func (d *parts) recover(ctx context.Context) error {
	plan := steps.Plan{Operation: recoverOperation, Root: d.recoverPlan(), Failpoints: d.failpoints}
	if err := plan.Up(ctx); err != nil {
		return fmt.Errorf("take up what runs on this node: %w", err)
	}
	return nil
}

// recoverOperation names start-up recovery among the failpoints.
const recoverOperation = "Recover"

// recoverPlan is what a daemon does before it serves.
func (d *parts) recoverPlan() steps.Node {
	return steps.Seq{
		steps.Step{Name: "images", Do: func(ctx context.Context) error { return d.images.Recover(ctx) }},
		steps.Step{Name: "pods", Do: func(ctx context.Context) error { return d.pods.Load(ctx) }},
		steps.Step{Name: "containers", Do: func(ctx context.Context) error { return d.containers.Load(ctx) }},
		steps.Step{Name: "resume-containers", Do: func(ctx context.Context) error { return d.containers.Resume(ctx) }},
		steps.Step{Name: "resume-pods", Do: func(ctx context.Context) error { return d.pods.Resume(ctx) }},
	}
}

func (d *parts) server() *grpc.Server {
	return cri.NewServer(cri.Options{
		Pods: d.pods, Containers: d.containers, Images: d.images, Streaming: d.streaming, Sampler: d.sampler,
		Events: d.hub, RPC: d.metrics.RPC, Stop: d.feedCtx,
		GRPC: append(d.tracing.ServerOptions(), grpc.ChainUnaryInterceptor(d.trimmer.unary)),
		Node: cri.NodeOptions{
			Version: version, Network: d.network, SavePodCIDR: d.savePodCIDR, Handlers: d.handlers.CRI(),
			Features: &runtimeapi.RuntimeFeatures{SupplementalGroupsPolicy: true, MountOptions: true},
			Systemd:  d.cgroups.Driver == cgroup.Systemd, Ready: d.engine.Ready, Damage: d.damage(), Info: d.info,
		},
	})
}

// damage says which databases were put aside when the daemon started, "" for none.
func (d *parts) damage() string {
	var lines []string
	for _, q := range d.engine.Quarantined {
		lines = append(lines, q.String())
	}
	return strings.Join(lines, "; ")
}

// hanging are the operations on pods and containers that have been under way for long.
func (d *parts) hanging() []underway.Operation {
	return slices.Concat([]underway.Operation{}, d.pods.Hanging(), d.containers.Hanging())
}

// info is what a verbose Status tells beyond the conditions.
func (d *parts) info() map[string]any {
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
