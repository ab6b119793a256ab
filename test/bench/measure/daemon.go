package measure

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/berth-run/berth/test/bench/acct"
	"github.com/berth-run/berth/test/bench/report"
	"github.com/berth-run/berth/test/bench/side"
)

// | figure | how |
// | --- | --- |
// | daemon.listed0, .ready0 | from the daemon's exec to the first answered list of pods, and to RuntimeReady and NetworkReady; without pods. Berth's external containerd is started with it |
// | daemon.rss, .pss | of the daemon two seconds later, a process of its own included where there is one |
// | daemon.binary | size of the daemon's files |
// | daemon.listed100, .ready100 | the same start with 100 pods that run |
var (
	daemon = Measurement{
		Names: []string{"daemon"}, Title: "daemon start, size, memory",
		Full: Plan{6, 20 * time.Second},
		Run:  runDaemon,
	}
	loadedStart = Measurement{
		Names: []string{"loadedstart", "daemon"}, Title: "daemon start with 100 pods", Loaded: true,
		Full: Plan{5, 20 * time.Second},
		Run: func(ctx context.Context, e *Env) error {
			return e.rounds(ctx, func(int) error {
				return e.interleaved(ctx, func(s *side.Side) error { return e.timeStart(ctx, s, e.Pods) })
			})
		},
	}
)

func runDaemon(ctx context.Context, e *Env) error {
	for _, s := range e.Sides {
		var size int64
		for _, path := range s.Binaries {
			if info, err := os.Stat(path); err == nil {
				size += info.Size()
			}
		}
		e.Result.Add(report.Metric{Name: "daemon.binary", Title: "daemon binary", Unit: "MiB"}, s.Name, mebibytes(size))
	}
	return e.rounds(ctx, func(int) error {
		err := e.interleaved(ctx, func(s *side.Side) error { return e.timeStart(ctx, s, 0) })
		if err != nil {
			return err
		}
		settle(ctx, 2*time.Second)
		for _, s := range e.Sides {
			use := acct.UseOf(s.DaemonPIDs())
			e.Result.Add(report.Metric{Name: "daemon.rss", Title: "RSS of the idle daemon", Unit: "MiB"}, s.Name, mebibytes(use.RSS))
			e.Result.Add(report.Metric{Name: "daemon.pss", Title: "PSS of the idle daemon", Unit: "MiB"}, s.Name, mebibytes(use.PSS))
		}
		return nil
	})
}

// timeStart starts a side's daemon anew and records how long it took.
func (e *Env) timeStart(ctx context.Context, s *side.Side, pods int) error {
	if !s.Ours() {
		return nil
	}
	if err := s.Stop(); err != nil {
		return err
	}
	settle(ctx, 2*pause)
	listed, ready, err := s.Start(ctx)
	if err != nil {
		return err
	}
	add := func(name, what string, d time.Duration) {
		e.Result.Add(report.Metric{
			Name: fmt.Sprintf("daemon.%s%d", name, pods), Unit: "ms",
			Title: fmt.Sprintf("daemon start with %d pods, until %s", pods, what),
		}, s.Name, ms(d))
	}
	add("listed", "it answers", listed)
	add("ready", "it is ready", ready)
	return nil
}

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }
