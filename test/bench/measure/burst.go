package measure

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/berth-run/berth/test/bench/pod"
	"github.com/berth-run/berth/test/bench/report"
	"github.com/berth-run/berth/test/bench/side"
	"github.com/berth-run/berth/test/bench/stats"
)

// | figure | how |
// | --- | --- |
// | burst.slowest | 100 pods asked for at the same moment: when the last one runs |
// | burst.median | when half of them run |
var burst = Measurement{
	Names: []string{"burst"}, Title: "100 pods at once",
	Full: Plan{1, 50 * time.Second},
	Run: func(ctx context.Context, e *Env) error {
		return e.rounds(ctx, func(int) error {
			return e.interleaved(ctx, func(s *side.Side) error { return burstOnce(ctx, e, s, 100) })
		})
	},
}

func burstOnce(ctx context.Context, e *Env, s *side.Side, count int) error {
	settle(ctx, 4*pause)
	pods, err := prepare(s, pod.Spec{}, count)
	if err != nil {
		return errors.Join(err, end(ctx, pods, 16))
	}
	latency := make([]float64, count)
	errs := make([]error, count)
	var wg sync.WaitGroup
	began := time.Now()
	for n, p := range pods {
		wg.Go(func() {
			errs[n] = p.Run(ctx)
			latency[n] = ms(time.Since(began))
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return errors.Join(err, end(ctx, pods, 16))
	}
	settle(ctx, time.Second) // the last of them get ready
	e.Result.Add(report.Metric{Name: "burst.slowest", Title: "burst of 100 pods: the slowest", Unit: "ms"}, s.Name, stats.Quantile(latency, 1))
	e.Result.Add(report.Metric{Name: "burst.median", Title: "burst of 100 pods: the median", Unit: "ms"}, s.Name, stats.Quantile(latency, 0.5))
	return end(ctx, pods, 16)
}
