package measure

import (
	"context"
	"time"

	"github.com/berth-run/berth/test/bench/acct"
	"github.com/berth-run/berth/test/bench/content"
	"github.com/berth-run/berth/test/bench/report"
	"github.com/berth-run/berth/test/bench/side"
)

// | figure | how |
// | --- | --- |
// | density.pss | PSS of what keeps an idle pod: shims, pause processes, monitors; of 100 pods, the container's own processes excepted |
// | density.daemon | PSS that the daemon has more than without pods, for one of 100 |
// | density.total | both |
// | density.fds | file descriptors of daemon and keepers more than without pods, for one of 100 |
// | density.processes | processes that keep a pod |
//
// Sides run files of their own, so that no page is shared between them.
var density = Measurement{
	Names: []string{"density"}, Title: "what an idle pod holds", Loaded: true,
	Full: Plan{3, 5 * time.Second}, Quick: Plan{2, 3 * time.Second},
	Run: func(ctx context.Context, e *Env) error {
		return e.rounds(ctx, func(int) error {
			settle(ctx, time.Second)
			return e.interleaved(ctx, func(s *side.Side) error { e.weigh(s); return nil })
		})
	},
}

func (e *Env) weigh(s *side.Side) {
	l := e.loaded[s]
	keepers, daemon := acct.UseOf(s.KeeperPIDs(content.Program)), acct.UseOf(s.DaemonPIDs())
	each := func(n int64) float64 { return float64(n) / float64(len(l.pods)) }
	add := func(name, title, unit string, value float64) {
		e.Result.Add(report.Metric{Name: "density." + name, Title: title, Unit: unit}, s.Name, value)
	}
	grown := daemon.PSS - l.empty.PSS
	add("pss", "PSS of what keeps an idle pod", "MiB", each(keepers.PSS)/(1<<20))
	add("daemon", "PSS of the daemon for an idle pod", "MiB", each(grown)/(1<<20))
	add("total", "PSS of an idle pod", "MiB", each(keepers.PSS+grown)/(1<<20))
	add("fds", "file descriptors of an idle pod", "", each(int64(keepers.FDs+daemon.FDs-l.empty.FDs)))
	add("processes", "processes that keep an idle pod", "", each(int64(keepers.Processes)))
}
