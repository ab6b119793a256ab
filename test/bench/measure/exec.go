package measure

import (
	"context"
	"errors"
	"fmt"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/bench/pod"
	"github.com/berth-run/berth/test/bench/report"
	"github.com/berth-run/berth/test/bench/side"
)

// | figure | how |
// | --- | --- |
// | exec.latency | ExecSync of true, one at a time; its floor is runc exec by hand |
// | exec.cpu | CPU time of one, of ten in a row |
var exec = Measurement{
	Names: []string{"exec"}, Title: "ExecSync of true",
	Full: Plan{20, 25 * time.Second}, Quick: Plan{3, 5 * time.Second},
	Run: runExec,
}

// execs is how many are taken together, floors how many by hand.
const (
	execs  = 10
	floors = 3
)

var execLatency = report.Metric{Name: "exec.latency", Title: "ExecSync of true", Unit: "ms"}

func runExec(ctx context.Context, e *Env) error {
	return e.withPod(ctx, pod.Spec{}, func(pods map[*side.Side]*pod.Pod) error {
		bare := e.bareRunc(pods[e.side(side.Berth)])
		return e.rounds(ctx, func(int) error {
			for range floors {
				if bare != nil {
					e.attempt(bare.side, e.addFloor(ctx, bare.exec, execLatency))
				}
			}
			return e.interleaved(ctx, func(s *side.Side) error {
				used, err := cpuOf(ctx, s, pause, func() error {
					for range execs {
						if err := e.execTrue(ctx, pods[s]); err != nil {
							return err
						}
					}
					return nil
				})
				if err == nil {
					e.Result.Add(report.Metric{Name: "exec.cpu", Title: "CPU of an ExecSync", Unit: "ms"}, s.Name, ms(used)/execs)
				}
				return err
			})
		})
	})
}

func (e *Env) execTrue(ctx context.Context, p *pod.Pod) error {
	began := time.Now()
	resp, err := p.Side.Runtime.ExecSync(ctx, &runtimeapi.ExecSyncRequest{
		ContainerId: p.ContainerID, Cmd: []string{"true"}, Timeout: 30,
	})
	took := time.Since(began)
	if err != nil {
		return err
	}
	if resp.GetExitCode() != 0 {
		return fmt.Errorf("true ended with %d", resp.GetExitCode())
	}
	e.Result.Add(execLatency, p.Side.Name, ms(took))
	return nil
}

// withPod runs a pod at every side while fn runs.
func (e *Env) withPod(ctx context.Context, spec pod.Spec, fn func(map[*side.Side]*pod.Pod) error) (err error) {
	pods := map[*side.Side]*pod.Pod{}
	defer func() {
		for _, p := range pods {
			err = errors.Join(err, p.End(ctx))
		}
	}()
	for _, s := range e.Sides {
		p, err := pod.New(s, spec)
		if err != nil {
			return err
		}
		pods[s] = p
		if err := p.Run(ctx); err != nil {
			return err
		}
		if err := p.AwaitReady(ctx); err != nil {
			return err
		}
	}
	return fn(pods)
}
