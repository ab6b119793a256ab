package main

import (
	"runtime/debug"
	"time"

	"github.com/berth-run/berth/cni"
	"github.com/berth-run/berth/container"
	"github.com/berth-run/berth/engine"
	"github.com/berth-run/berth/imageservice"
	"github.com/berth-run/berth/metrics"
	"github.com/berth-run/berth/sandbox"
	"github.com/berth-run/berth/steps"
)

// The functions below pass on what the parts do to the metrics, which they know
// nothing about.

func buildInfo() metrics.Build {
	b := metrics.Build{Version: version, Containerd: engine.EmbeddedVersion()}
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

func stageObserver(m *metrics.Metrics) steps.Observer {
	return func(operation, step, verb string, took time.Duration, _ error) {
		if verb == "undo" {
			step += "-undo"
		}
		m.Stages.Observe(operation, step, took)
	}
}

func cniObserver(m *metrics.Metrics) cni.Observer {
	return cni.Observer{
		Plugin: func(plugin, verb string, err error, took time.Duration) { m.CNI.Observe(plugin, verb, took, err) },
	}
}

func imageHooks(m *metrics.Metrics) imageservice.Hooks {
	return imageservice.Hooks{HostFailed: func(host, _ string) { m.Images.HostFailed(host) }}
}

// source lists pods and containers for the sampler.
type source struct {
	pods       *sandbox.Manager
	containers *container.Manager
}

// Pods implements metrics.Source.
func (s *source) Pods() []metrics.PodRef {
	visible := s.pods.Visible()
	out := make([]metrics.PodRef, 0, len(visible))
	for _, p := range visible {
		out = append(out, metrics.PodRef{
			ID: p.ID, Metadata: p.Config.GetMetadata(), Labels: p.Config.GetLabels(), Annotations: p.Config.GetAnnotations(),
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
