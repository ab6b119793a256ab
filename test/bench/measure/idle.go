package measure

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/bench/report"
	"github.com/berth-run/berth/test/bench/side"
	"github.com/berth-run/berth/test/bench/stats"
)

// | figure | how |
// | --- | --- |
// | idle.cpu | CPU time that a side with 100 idle pods uses in a second when nobody calls; windows of two seconds, all sides at once |
// | polled.cpu | the same while every side is polled as by a kubelet: ListPodSandbox and ListContainers every second, Status every five, ListContainerStats, ListPodSandboxStats and ImageFsInfo every ten |
//
// The peer is measured with its stats collector on, which is its default, and off.
var (
	idle = Measurement{
		Names: []string{"idle"}, Title: "CPU of 100 idle pods", Loaded: true,
		Full: Plan{12, 24 * time.Second}, Quick: Plan{2, 6 * time.Second},
		Least: 6, // garbage of what was before is collected within ten seconds
		Run: func(ctx context.Context, e *Env) error {
			m := report.Metric{Name: "idle.cpu", Title: fmt.Sprintf("CPU at %d idle pods", e.Pods), Unit: "ms/s", Main: stats.Average}
			return e.onAndOff(ctx, func(sides []*side.Side, name func(*side.Side) string) error {
				return e.windows(ctx, m, sides, name, 2*time.Second)
			})
		},
	}
	polled = Measurement{
		Names: []string{"polled"}, Title: "CPU of 100 idle pods that a kubelet polls", Loaded: true,
		Full: Plan{2, 20 * time.Second},
		Run: func(ctx context.Context, e *Env) error {
			m := report.Metric{Name: "polled.cpu", Title: fmt.Sprintf("CPU at %d pods, polled", e.Pods), Unit: "ms/s", Main: stats.Average}
			return e.onAndOff(ctx, func(sides []*side.Side, name func(*side.Side) string) error {
				pollCtx, stop := context.WithCancel(ctx)
				var g errgroup.Group
				for _, s := range sides {
					g.Go(func() error { pollLikeKubelet(pollCtx, s); return nil })
				}
				err := e.windows(ctx, m, sides, name, 10*time.Second)
				stop()
				return errors.Join(err, g.Wait())
			})
		},
	}
)

// onAndOff calls fn with all sides, and again for those that have a stats collector, with
// that switched off.
func (e *Env) onAndOff(ctx context.Context, fn func([]*side.Side, func(*side.Side) string) error) error {
	if err := fn(e.Sides, func(s *side.Side) string { return s.Name }); err != nil {
		return err
	}
	var peers []*side.Side
	for _, s := range e.Sides {
		if s.Ours() && s.Name == side.Containerd {
			peers = append(peers, s)
			if err := e.restart(ctx, s, false); err != nil {
				return err
			}
		}
	}
	if len(peers) == 0 {
		return nil
	}
	settle(ctx, 2*time.Second)
	err := fn(peers, func(*side.Side) string { return report.CollectorOff })
	for _, s := range peers {
		err = errors.Join(err, e.restart(ctx, s, true))
	}
	settle(ctx, time.Second)
	return err
}

// windows records what the sides use, window by window.
func (e *Env) windows(ctx context.Context, m report.Metric, sides []*side.Side, name func(*side.Side) string, window time.Duration) error {
	return e.rounds(ctx, func(int) error {
		before := make([]time.Duration, len(sides))
		began := make([]time.Time, len(sides))
		for n, s := range sides {
			var err error
			if before[n], err = s.CPU(); err != nil {
				return err
			}
			began[n] = time.Now()
		}
		settle(ctx, window)
		for n, s := range sides {
			now, err := s.CPU()
			if err != nil {
				return err
			}
			e.Result.Add(m, name(s), ms(now-before[n])/time.Since(began[n]).Seconds())
		}
		return ctx.Err()
	})
}

// pollLikeKubelet makes the calls that a kubelet makes when nothing happens.
func pollLikeKubelet(ctx context.Context, s *side.Side) {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for n := 0; ; n++ {
		_, _ = s.Runtime.ListPodSandbox(ctx, &runtimeapi.ListPodSandboxRequest{})
		_, _ = s.Runtime.ListContainers(ctx, &runtimeapi.ListContainersRequest{})
		if n%5 == 0 {
			_, _ = s.Runtime.Status(ctx, &runtimeapi.StatusRequest{})
		}
		if n%10 == 0 {
			_, _ = s.Runtime.ListContainerStats(ctx, &runtimeapi.ListContainerStatsRequest{})
			_, _ = s.Runtime.ListPodSandboxStats(ctx, &runtimeapi.ListPodSandboxStatsRequest{})
			_, _ = s.Image.ImageFsInfo(ctx, &runtimeapi.ImageFsInfoRequest{})
		}
		select {
		case <-second.C:
		case <-ctx.Done():
			return
		}
	}
}
