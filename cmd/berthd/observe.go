package main

import (
	"context"
	"runtime/debug"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/cni"
	"github.com/berth-run/berth/container"
	"github.com/berth-run/berth/engine"
	"github.com/berth-run/berth/imageservice"
	"github.com/berth-run/berth/internal/cgroup"
	"github.com/berth-run/berth/internal/handler"
	"github.com/berth-run/berth/internal/steps"
	"github.com/berth-run/berth/internal/task"
	"github.com/berth-run/berth/internal/tracing"
	"github.com/berth-run/berth/metrics"
	"github.com/berth-run/berth/sandbox"
)

// The functions below pass on what the rooms do to the metrics. The rooms know nothing of metrics.

func buildInfo(cgroups *cgroup.Host) metrics.Build {
	b := metrics.Build{
		Version: version, Containerd: engine.EmbeddedVersion(), CRI: "v1",
		CgroupDriver: string(cgroups.Driver), CgroupMode: string(cgroups.Mode),
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		b.GoVersion = info.GoVersion
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				b.Revision = s.Value
			}
		}
	}
	return b
}

// stageObserver measures the steps of operations, and makes a span of each where tracing is on.
func stageObserver(m *metrics.Metrics, spans *tracing.Tracing) steps.Observer {
	return func(ctx context.Context, operation, step, verb string) (context.Context, func(error)) {
		if verb == "undo" {
			step += "-undo"
		}
		start := time.Now()
		ctx, end := spans.Start(ctx, operation+" "+step)
		return ctx, func(err error) {
			m.Stages.Observe(ctx, operation, step, time.Since(start), err)
			end(err)
		}
	}
}

// callObserver measures calls of one of the daemon's neighbours.
func callObserver(calls *metrics.Calls, spans *tracing.Tracing, whom string) func(context.Context, string) func(error) {
	return func(ctx context.Context, call string) func(error) {
		start := time.Now()
		end := calls.Begin(ctx, call)
		return func(err error) {
			end(err)
			spans.Observe(ctx, whom+" "+call, time.Since(start), err)
		}
	}
}

func cniObserver(m *metrics.Metrics) cni.Observer {
	return cni.Observer{
		Plugin:       func(plugin, verb string, err error, took time.Duration) { m.CNI.Plugin(plugin, verb, took, err) },
		Operation:    func(verb string, err error, took time.Duration) { m.CNI.Operation(verb, took, err) },
		ConfigLoaded: func(s cni.Status) { m.CNI.ConfigChanged(s.Ready) },
	}
}

func imageHooks(m *metrics.Metrics) imageservice.Hooks {
	return imageservice.Hooks{
		PullJoined: func(string) { m.Images.PullJoined() },
		PullFinished: func(r imageservice.PullResult) {
			m.Images.Pulled(metrics.Pull{Bytes: r.Bytes, Layers: r.LayersFetched, Queued: r.Queued, Duration: r.Duration, Err: r.Err})
		},
		BytesFetched:  m.Images.Fetched,
		LayerFetched:  func(_ string, _ int64, took time.Duration) { m.Images.LayerFetched(took) },
		LayerUnpacked: m.Images.LayerUnpacked,
		HostFailed:    m.Images.HostFailed,
	}
}

// pulls lists the pulls under way for the metrics.
func pulls(images *imageservice.Service) []metrics.PullProgress {
	var out []metrics.PullProgress
	for _, p := range images.Pulls() {
		out = append(out, metrics.PullProgress{
			Image: p.Ref, Stage: p.Stage, BytesDone: p.BytesDone, BytesTotal: p.BytesTotal,
			LayersDone: p.LayersUnpacked, LayersTotal: p.LayersTotal, Started: p.Started, LastByte: p.LastByte,
		})
	}
	return out
}

// observeState adds the metrics that are read out of the rooms at each scrape.
func (d *daemon) observeState(checks []metrics.Check) {
	d.metrics.RegisterPulls(func() []metrics.PullProgress { return pulls(d.images) }, "queued", "resolving", "fetching", "unpacking", "committing")
	d.metrics.RegisterDetachQueue(func() metrics.DetachQueue {
		q := d.pods.DetachQueue()
		return metrics.DetachQueue{Depth: q.Depth, Oldest: q.Oldest, Attempts: q.Attempts}
	})
	d.metrics.RegisterHanging(func() (out []metrics.Hanging) {
		for _, o := range d.hanging() {
			out = append(out, metrics.Hanging{Operation: o.Name, For: time.Since(o.Since)})
		}
		return out
	})
	d.metrics.RegisterEvents(d.hub.Subscribers, d.hub.Dropped)
	d.metrics.RegisterChecks(checks)
	d.metrics.RPC.SetHandler(handlerNames{d.handlers, d.pods, d.containers}.of)
}

// handlerNames finds the runtime handler that a CRI request is about.
type handlerNames struct {
	handlers   *handler.Set
	pods       *sandbox.Manager
	containers *container.Manager
}

// of is the name of the handler, "" where the request is about none or about an object that does not exist.
func (n handlerNames) of(req any) string {
	var pod *sandbox.Sandbox
	switch r := req.(type) {
	case *runtimeapi.RunPodSandboxRequest:
		h, err := n.handlers.Get(r.GetRuntimeHandler())
		if err != nil {
			return ""
		}
		return h.Name
	case interface{ GetPodSandboxId() string }:
		pod, _ = n.pods.Get(r.GetPodSandboxId())
	case interface{ GetContainerId() string }:
		if c, err := n.containers.Get(r.GetContainerId()); err == nil {
			pod = c.Pod
		}
	}
	if pod == nil {
		return ""
	}
	return pod.Handler.Name
}

// logUsage asks a pod's shim what its containers have logged. Foreign shims leave that to
// this process, and have no such figures.
func logUsage(pods *sandbox.Manager) func(context.Context, string) (map[string]metrics.LogUsage, error) {
	return func(ctx context.Context, podID string) (map[string]metrics.LogUsage, error) {
		pod, err := pods.Get(podID)
		if err != nil {
			return nil, err
		}
		process := pod.Shim()
		if process == nil {
			return nil, nil
		}
		status, err := process.Client().Status(ctx)
		if err != nil {
			return nil, err
		}
		out := make(map[string]metrics.LogUsage, len(status.Containers))
		for _, r := range status.Containers {
			out[r.ID] = metrics.LogUsage{Written: r.LogBytes, Dropped: r.LogDroppedBytes}
		}
		return out, nil
	}
}

// foreignSample asks the shim of a container that has no cgroup on this host.
func foreignSample(tasks *task.Service) metrics.ForeignFunc {
	return func(ctx context.Context, containerID string) (metrics.Sample, error) {
		data, err := tasks.Metrics(ctx, containerID)
		if err != nil {
			return metrics.Sample{}, err
		}
		return metrics.FromTask(data)
	}
}

// containerChanged passes changes on, counts the ends, and has the writable layers of containers that start measured.
func (d *daemon) containerChanged(next func(*container.Container, runtimeapi.ContainerEventType)) func(*container.Container, runtimeapi.ContainerEventType) {
	return func(c *container.Container, what runtimeapi.ContainerEventType) {
		switch what {
		case runtimeapi.ContainerEventType_CONTAINER_STARTED_EVENT:
			d.usage.Prime(c.Snapshotter, c.ID)
		case runtimeapi.ContainerEventType_CONTAINER_STOPPED_EVENT:
			d.metrics.Exits.Ended(c.Status().GetReason(), c.Ref().OOMKills)
			d.sampler.Ended()
		}
		next(c, what)
	}
}

// podChanged has the sampler close what it keeps open of pods that end.
func (d *daemon) podChanged(next func(*sandbox.Sandbox, runtimeapi.ContainerEventType)) func(*sandbox.Sandbox, runtimeapi.ContainerEventType) {
	return func(s *sandbox.Sandbox, what runtimeapi.ContainerEventType) {
		if what == runtimeapi.ContainerEventType_CONTAINER_STOPPED_EVENT || what == runtimeapi.ContainerEventType_CONTAINER_DELETED_EVENT {
			d.sampler.Ended()
		}
		next(s, what)
	}
}

// source lists pods and containers for the sampler.
type source struct {
	pods       *sandbox.Manager
	containers *container.Manager
}

// States implements metrics.Source.
func (s *source) States(pods, containers []metrics.State) (_, _ []metrics.State) {
	for _, p := range s.pods.Visible() {
		pods = append(pods, metrics.State{ID: p.ID, State: int32(p.State())})
	}
	for _, c := range s.containers.Visible() {
		containers = append(containers, metrics.State{ID: c.ID, State: int32(c.State())})
	}
	return pods, containers
}

// Pods implements metrics.Source.
func (s *source) Pods() []metrics.PodRef {
	visible := s.pods.Visible()
	out := make([]metrics.PodRef, 0, len(visible))
	for _, p := range visible {
		labels, annotations := p.Reported()
		out = append(out, metrics.PodRef{
			ID: p.ID, Metadata: p.Config.GetMetadata(), Labels: labels, Annotations: annotations,
			State: p.State(), RuntimeHandler: p.HandlerName, CgroupParent: p.CgroupParent,
			NetnsPath: s.pods.NetNS(p), DefaultInterface: p.Interface(), CreatedAt: p.CreatedAt,
		})
	}
	return out
}

// Containers implements metrics.Source.
func (s *source) Containers() []metrics.ContainerRef {
	visible := s.containers.Visible()
	out := make([]metrics.ContainerRef, 0, len(visible))
	for _, c := range visible {
		out = append(out, c.Ref())
	}
	return out
}
