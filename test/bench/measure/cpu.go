package measure

import (
	"context"
	"time"

	"github.com/berth-run/berth/test/bench/acct"
	"github.com/berth-run/berth/test/bench/pod"
	"github.com/berth-run/berth/test/bench/report"
	"github.com/berth-run/berth/test/bench/side"
)

// | figure | how |
// | --- | --- |
// | cpu.cycle | CPU time of a pod's start and teardown: daemon, shims, runc, plugins and containers, by the side's cgroup; so many pods one after the other, and half a second for what is done afterwards |
// | cpu.machine | the same by /proc/stat, without the benchmark itself: with the kernel's own threads, and with everything else that runs on the machine |
var cpu = Measurement{
	Names: []string{"cpu"}, Title: "CPU time of a pod's start and teardown",
	Full: Plan{8, 32 * time.Second}, Quick: Plan{3, 6 * time.Second},
	Run: func(ctx context.Context, e *Env) error {
		return e.rounds(ctx, func(int) error {
			return e.interleaved(ctx, func(s *side.Side) error { return cpuBatch(ctx, e, s) })
		})
	},
}

// batch is how many pods are taken together: the machine's clock is coarse.
const batch = 5

func cpuBatch(ctx context.Context, e *Env, s *side.Side) error {
	machine, err := acct.Machine()
	if err != nil {
		return err
	}
	used, err := cpuOf(ctx, s, 500*time.Millisecond, func() error {
		for range batch {
			if _, err := pod.Cycle(ctx, s, pod.Spec{}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	now, err := acct.Machine()
	if err != nil {
		return err
	}
	e.Result.Add(report.Metric{Name: "cpu.cycle", Title: "CPU of a pod cycle, all processes", Unit: "ms"}, s.Name, ms(used)/batch)
	e.Result.Add(report.Metric{Name: "cpu.machine", Title: "CPU of a pod cycle, whole machine", Unit: "ms"}, s.Name, ms(now-machine)/batch)
	return nil
}
