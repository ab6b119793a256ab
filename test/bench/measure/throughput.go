package measure

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/berth-run/berth/test/bench/pod"
	"github.com/berth-run/berth/test/bench/report"
	"github.com/berth-run/berth/test/bench/side"
)

// | figure | how |
// | --- | --- |
// | throughput.1, .8, .32 | pods started and torn down a second by so many clients, each one pod after the other, for some seconds; pods count that were gone when the time was up, the time goes on to the end of those that were not |
var throughput = Measurement{
	Names: []string{"throughput"}, Title: "pods a second with 1, 8 and 32 clients",
	Full: Plan{3, 60 * time.Second}, Quick: Plan{1, 20 * time.Second},
	Run: func(ctx context.Context, e *Env) error {
		clients, period := []int{1, 8, 32}, 2500*time.Millisecond
		if e.Quick {
			clients, period = []int{8, 32}, 1500*time.Millisecond
		}
		return e.rounds(ctx, func(int) error {
			for _, n := range clients {
				err := e.interleaved(ctx, func(s *side.Side) error {
					rate, err := e.rate(ctx, s, n, period)
					if err == nil {
						e.Result.Add(report.Metric{
							Name: fmt.Sprintf("throughput.%d", n), Title: fmt.Sprintf("pods a second, %d clients", n),
							Unit: "1/s", More: true,
						}, s.Name, rate)
					}
					return err
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
	},
}

// rate runs pods with so many clients until the period is over, and returns how many went
// through in a second.
func (e *Env) rate(ctx context.Context, s *side.Side, clients int, period time.Duration) (float64, error) {
	settle(ctx, 4*pause)
	var done atomic.Int64
	var wg sync.WaitGroup
	began := time.Now()
	for range clients {
		wg.Go(func() {
			for time.Since(began) < period && ctx.Err() == nil {
				if _, err := pod.Cycle(ctx, s, pod.Spec{}); err != nil {
					e.attempt(s, err)
					return
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	n := done.Load()
	if n == 0 {
		return 0, fmt.Errorf("no pod went through with %d clients", clients)
	}
	return float64(n) / time.Since(began).Seconds(), ctx.Err()
}
