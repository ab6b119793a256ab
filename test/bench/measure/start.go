package measure

import (
	"context"
	"errors"
	"time"

	"github.com/berth-run/berth/test/bench/pod"
	"github.com/berth-run/berth/test/bench/report"
	"github.com/berth-run/berth/test/bench/side"
)

// | figure | how |
// | --- | --- |
// | start.run, .create, .start, .sum | the calls that start a pod with one container and CNI, one pod at a time; the floor is a network namespace, the plugins' ADD, runc create and runc start by hand |
// | starthost.* | the same with host network; the floor is runc create and runc start by hand |
// | teardown.stop, .stoppod, .remove, .sum | the calls that end those pods with CNI; the container ends on SIGTERM |
// | teardownhost.sum | the same with host network |
//
// The image is there. What the kubelet does itself (its cgroup, log directory, /etc/hosts)
// is done before the clock starts.
var (
	start = Measurement{
		Names: []string{"start", "teardown"}, Title: "a pod with CNI, one at a time",
		Full: Plan{120, 65 * time.Second}, Quick: Plan{14, 13 * time.Second},
		Run: func(ctx context.Context, e *Env) error { return cycles(ctx, e, pod.Spec{}, "", "with CNI") },
	}
	startHost = Measurement{
		Names: []string{"starthost"}, Title: "a pod with host network, one at a time",
		Full: Plan{60, 30 * time.Second}, Quick: Plan{10, 5 * time.Second},
		Run: func(ctx context.Context, e *Env) error {
			return cycles(ctx, e, pod.Spec{HostNetwork: true}, "host", "with host network")
		},
	}
)

func cycles(ctx context.Context, e *Env, spec pod.Spec, suffix, title string) error {
	return e.rounds(ctx, func(int) error {
		return e.interleaved(ctx, func(s *side.Side) error {
			settle(ctx, pause)
			p, err := pod.New(s, spec)
			if err != nil {
				return err
			}
			if err = p.Run(ctx); err == nil {
				err = p.AwaitReady(ctx)
			}
			if err != nil {
				return errors.Join(err, p.End(ctx))
			}
			settle(ctx, pause)
			if s.Name == side.Berth {
				e.attempt(s, e.startFloor(ctx, p, spec, title))
				settle(ctx, 4*pause) // the kernel takes away what the floor had
			}
			if err := p.End(ctx); err != nil {
				return err
			}
			e.addStart("start"+suffix, title, s, p.Start)
			e.addTeardown("teardown"+suffix, title, s, p.Teardown)
			return nil
		})
	})
}

// startFloor measures a start by hand: with host network it is runc alone.
func (e *Env) startFloor(ctx context.Context, p *pod.Pod, spec pod.Spec, title string) error {
	title = "pod start " + title
	if spec.HostNetwork {
		return e.addFloor(ctx, e.bareRunc(p).start,
			startMetric("starthost", "sum", title), startMetric("starthost", "start", "StartContainer"))
	}
	f, err := e.podFloor(p)
	if err != nil {
		return err
	}
	return e.addFloor(ctx, f.startWithNetwork, startMetric("start", "sum", title))
}

func startMetric(name, part, title string) report.Metric {
	return report.Metric{Name: name + "." + part, Title: title, Unit: "ms"}
}

func (e *Env) addStart(name, title string, s *side.Side, t pod.StartTimes) {
	add := func(part, what string, d time.Duration) {
		e.Result.Add(startMetric(name, part, what), s.Name, ms(d))
	}
	add("sum", "pod start "+title, t.Sum())
	add("run", "RunPodSandbox", t.Run)
	add("create", "CreateContainer", t.Create)
	add("start", "StartContainer", t.Start)
}

func (e *Env) addTeardown(name, title string, s *side.Side, t pod.TeardownTimes) {
	add := func(part, what string, d time.Duration) {
		e.Result.Add(report.Metric{Name: name + "." + part, Title: what, Unit: "ms"}, s.Name, ms(d))
	}
	add("sum", "teardown "+title, t.Sum())
	add("stop", "StopContainer", t.StopContainer)
	add("stoppod", "StopPodSandbox", t.StopPod)
	add("remove", "RemovePodSandbox", t.Remove)
}
