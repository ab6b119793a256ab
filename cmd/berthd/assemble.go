package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

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
	"github.com/berth-run/berth/internal/handler"
	"github.com/berth-run/berth/internal/hostinfo"
	"github.com/berth-run/berth/internal/private"
	"github.com/berth-run/berth/internal/task"
	"github.com/berth-run/berth/internal/tracing"
	"github.com/berth-run/berth/metrics"
	"github.com/berth-run/berth/sandbox"
)

// assemble makes a daemon. After a failure, what was made is closed again.
func assemble(ctx context.Context, c *config.Config) (_ *daemon, err error) {
	d := &daemon{config: c, hub: &events.Hub{}, trimmer: newTrimmer()}
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

func (d *daemon) makeDirectories(context.Context) error {
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
func (d *daemon) lookAround(ctx context.Context) (err error) {
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

func (d *daemon) openEngine(ctx context.Context) (err error) {
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

func (d *daemon) makeHandlers(ctx context.Context) (err error) {
	d.handlers, err = handler.Resolve(ctx, d.config, handler.Node{
		Find: d.find, Host: d.host, Snapshotter: d.snapshotters.Check, Systemd: d.cgroups.Driver == cgroup.Systemd,
	})
	return err
}

func (d *daemon) makeNetwork(context.Context) error {
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

// savePodCIDR keeps the pod CIDR of UpdateRuntimeConfig in a file, for the next start.
func savePodCIDR(path, cidr string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o711); err != nil {
		return fmt.Errorf("save the pod CIDR: %w", err)
	}
	if err := os.WriteFile(path+".new", []byte(cidr+"\n"), 0o644); err != nil {
		return fmt.Errorf("save the pod CIDR: %w", err)
	}
	return os.Rename(path+".new", path)
}

func (d *daemon) makeImages(context.Context) (err error) {
	options := imageOptions(d.config)
	options.RuntimeHandlers = d.handlers.Snapshotters()
	options.Failpoints = d.failpoints
	options.Hooks = imageHooks(d.metrics)
	options.BesideLayer = volumes{d.config.Paths()}.usage
	if d.images, err = imageservice.New(d.engine.Client, options); err != nil {
		return err
	}
	d.onClose(d.images.Close)
	return nil
}

func (d *daemon) makePods(context.Context) error {
	observe := stageObserver(d.metrics, d.tracing)
	announcer := &cri.Announcer{Hub: d.hub}
	initBinary, err := d.find.Find(companions.Init)
	if err != nil {
		return err
	}
	d.containers = container.New(container.Options{
		Config: d.config, Engine: d.engine, Images: d.images, Cgroups: d.cgroups, Host: d.host,
		CDI: devices(d.config), Failpoints: d.failpoints, Observe: observe, TaskCalls: callObserver(d.metrics.Task, d.tracing, "task"), Changed: d.containerChanged(announcer.Container), Forgotten: func(c *container.Container) { d.usage.Forget(c.Snapshotter, c.ID) },
	})
	announcer.Containers = d.containers
	d.pods = sandbox.New(sandbox.Options{
		Config: d.config, Engine: d.engine, Network: d.network, Handlers: d.handlers, Cgroups: d.cgroups,
		Host: d.host, InitBinary: initBinary, Failpoints: d.failpoints, Observe: observe, TaskCalls: callObserver(d.metrics.Task, d.tracing, "task"), ShimCalls: callObserver(d.metrics.Shim, d.tracing, "shim"),
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

func (d *daemon) makeStats(context.Context) error {
	d.usage = metrics.NewUsageCache(written{d.engine.Client, volumes{d.config.Paths()}}.usage, metrics.UsageOptions{Mountpoint: d.mountpoint})
	d.onClose(func() error { d.usage.Close(); return nil })
	source := &source{pods: d.pods, containers: d.containers}
	logs := metrics.NewLogCache(logUsage(d.pods))
	tasks := task.New(d.engine.Client, d.config.Containerd.CallTimeout.Duration, callObserver(d.metrics.Task, d.tracing, "task"))
	d.sampler = metrics.NewSampler(d.cgroups, source, metrics.Options{
		Usage: d.usage, Logs: logs, Foreign: foreignSample(tasks),
	})
	stopLeaks := d.metrics.RegisterLeaks(leakFinder{d.config, d.engine.Client, d.handlers.Snapshotters(), d.pods, d.containers}.count)
	d.onClose(func() error { stopLeaks(); logs.Close(); d.sampler.Close(); return nil })
	return errors.Join(d.metrics.RegisterSource(source), d.metrics.RegisterSampler(d.sampler))
}

// openServers opens what answers at TCP ports. Recovery comes before: it tells which ports pods publish.
func (d *daemon) openServers() error {
	return errors.Join(d.makeStreaming(), d.makeExporter())
}

// listen opens a TCP listener whose connections no pod receives.
func (d *daemon) listen(address string) (net.Listener, error) {
	return listenApart(address, d.pods.PortOwner)
}

func (d *daemon) makeStreaming() error {
	options, err := streamingConfig(d.config)
	if err != nil {
		return err
	}
	options.Listen = d.listen
	options.Observe = d.metrics.Sessions.Begin
	d.streaming, err = streaming.NewServer(options, cri.Backend{Containers: d.containers, Pods: d.pods})
	return err
}

func (d *daemon) makeExporter() error {
	checks := []metrics.Check{
		{Name: "runtime", Ready: d.engine.Ready},
		{Name: "network", Ready: networkReady(d.network)},
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

// networkReady gives the check that tells why pods get no network now.
func networkReady(n *cni.Manager) func() error {
	return func() error {
		if s := n.Status(); !s.Ready {
			return fmt.Errorf("%s: %s", s.Reason, s.Message)
		}
		return nil
	}
}
