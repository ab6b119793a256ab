package report

import (
	"fmt"
	"strings"

	"github.com/berth-run/berth/test/bench/stats"
)

// Names of sides in targets. CollectorOff is containerd's CRI plugin with its stats
// collector off; Floor is a pull's work with no runtime at all, Unverified the same without
// looking whether the right content came.
const (
	Subject      = "berth"
	Peer         = "containerd"
	CollectorOff = "containerd, collector off"
	Floor        = "floor"
	Unverified   = "floor, no digests"
)

// Target is a ratio that Berth has to reach.
type Target struct {
	// Metric and Stat are what is compared, Against the side it is compared with.
	Metric  string
	Stat    stats.Statistic
	Against string
	// Bound is the ratio; AtLeast says that it has to be that or more.
	Bound   float64
	AtLeast bool
	// Title for people.
	Title string
}

func atMost(metric string, stat stats.Statistic, bound float64, title string) Target {
	return Target{Metric: metric, Stat: stat, Against: Peer, Bound: bound, Title: title}
}

func atLeast(metric string, bound float64, title string) Target {
	return Target{Metric: metric, Stat: stats.P50, Against: Peer, Bound: bound, AtLeast: true, Title: title}
}

func (t Target) against(side string) Target {
	t.Against = side
	return t
}

// Targets are those that Berth has set itself, as ratios to containerd's CRI plugin.
func Targets() []Target {
	targets := []Target{
		atMost("start.sum", stats.P50, 0.40, "pod start with CNI, p50"),
		atMost("start.sum", stats.P99, 0.40, "pod start with CNI, p99"),
		atMost("starthost.sum", stats.P50, 0.30, "pod start with host network, p50"),
		atMost("teardown.sum", stats.P50, 0.50, "teardown, p50"),
		atMost("cpu.cycle", stats.P50, 0.45, "CPU of a pod cycle, all processes"),
		atMost("cpu.machine", stats.P50, 0.45, "CPU of a pod cycle, whole machine"),
		atLeast("throughput.8", 2.2, "pods a second, 8 clients"),
		atLeast("throughput.32", 2.2, "pods a second, 32 clients"),
		atMost("exec.latency", stats.P50, 0.70, "ExecSync, p50"),
		atMost("density.pss", stats.P50, 0.40, "memory of an idle pod"),
		atMost("idle.cpu", stats.Average, 0.05, "idle CPU at 100 pods"),
		atMost("idle.cpu", stats.Average, 0.5, "idle CPU at 100 pods").against(CollectorOff),
		atMost("polled.cpu", stats.Average, 0.15, "CPU at 100 pods, polled as by a kubelet"),
		atMost("polled.cpu", stats.Average, 0.5, "CPU at 100 pods, polled as by a kubelet").against(CollectorOff),
		atMost("list.container-stats", stats.P50, 0.05, "ListContainerStats at 100 pods, p50"),
		atMost("list.pod-stats", stats.P50, 0.05, "ListPodSandboxStats at 100 pods, p50"),
		atMost("list.pods", stats.P50, 0.5, "ListPodSandbox at 100 pods, p50"),
		atMost("list.containers", stats.P50, 0.5, "ListContainers at 100 pods, p50"),
		atLeast("logs.percpu", 2, "log throughput per CPU second"),
	}
	for _, comp := range []string{"gzip", "zstd"} {
		for _, shape := range []struct{ name, title string }{
			{"many", "pull of 20 layers"}, {"one", "pull of one big layer"}, {"small", "pull of 20,000 small files"},
		} {
			t := atMost("pull."+shape.name+"-"+comp, stats.P50, 0.60, shape.title+", "+comp)
			floor := t.against(Floor)
			floor.Bound = 1.3
			targets = append(targets, t, floor)
		}
	}
	return targets
}

// Verdict is a target and how it came out.
type Verdict struct {
	Target
	Side  string
	Ratio stats.Ratio
}

// Met reports whether the target is reached.
func (v Verdict) Met() bool {
	if v.AtLeast {
		return v.Ratio.Value >= v.Bound
	}
	return v.Ratio.Value <= v.Bound
}

// Word for people: "ok" or "MISS".
func (v Verdict) Word() string {
	if v.Met() {
		return "ok"
	}
	return "MISS"
}

// Sign of the bound.
func (t Target) sign() string {
	if t.AtLeast {
		return "≥"
	}
	return "≤"
}

// verdicts of the sides, for the targets that were measured.
func (r *Result) verdicts(sides ...string) []Verdict {
	var all []Verdict
	for _, t := range Targets() {
		m := r.Metric(t.Metric)
		if m == nil || len(m.Samples[t.Against]) == 0 {
			continue
		}
		for _, side := range sides {
			if r.Pods != 0 { // the short form has fewer
				t.Title = strings.ReplaceAll(t.Title, "100 pods", fmt.Sprintf("%d pods", r.Pods))
			}
			if len(m.Samples[side]) > 0 {
				all = append(all, Verdict{t, side, stats.Compare(t.Stat, m.Samples[side], m.Samples[t.Against])})
			}
		}
	}
	return all
}

// Judged are the sides that targets are for: Berth in all its forms.
func (r *Result) judged() []string {
	var sides []string
	for _, name := range r.Sides {
		if strings.HasPrefix(name, Subject) {
			sides = append(sides, name)
		}
	}
	return sides
}

func (v Verdict) label() string {
	if v.Against == Peer {
		return v.Title
	}
	return fmt.Sprintf("%s, to the %s", v.Title, strings.TrimPrefix(v.Against, Peer+", "))
}
