package measure

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/bench/report"
	"github.com/berth-run/berth/test/bench/side"
)

// | figure | how |
// | --- | --- |
// | list.pods, .containers | latency of the List calls at 100 pods; their floor is a gRPC server that answers with the same bytes |
// | list.container-stats, .pod-stats | latency of the stats calls at 100 pods, after more than a second without any, so that no short-lived cache answers; their floor reads the files that they are made of, too |
var list = Measurement{
	Names: []string{"list"}, Title: "List and stats calls at 100 pods", Loaded: true,
	Full: Plan{20, 80 * time.Second}, Quick: Plan{2, 6 * time.Second},
	Least: 6,
	Run:   runList,
}

func runList(ctx context.Context, e *Env) (err error) {
	sides := e.Sides
	if s := e.side(side.Berth); s != nil {
		floor, end, ferr := listFloor(ctx, s)
		if ferr != nil {
			return ferr
		}
		defer func() { err = errors.Join(err, end()) }()
		sides = append(slices.Clone(sides), floor)
	}
	return e.rounds(ctx, func(int) error {
		for _, q := range queries() {
			wait := pause
			if q.fresh {
				wait = aging
			}
			err := e.among(ctx, sides, func(s *side.Side) error {
				if q.fresh && e.Quick && s.Name == report.Floor {
					return nil
				}
				// Nobody pays for what the answer to another has left in this process, and nobody finds files
				// in the processor's caches because a floor has just read them.
				runtime.GC()
				settle(ctx, wait)
				if e.Quick {
					wait = pause // there is no such floor
				}
				return e.ask(ctx, s, q)
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// query is a call that lists; it returns how many entries came.
type query struct {
	name, title string
	repeat      int  // how often it is made in a round
	fresh       bool // what was found out a second ago is not to be the answer
	call        func(ctx context.Context, s *side.Side) (int, error)
}

// aging is longer than runtimes answer with what they know.
const aging = 1100 * time.Millisecond

func queries() []query {
	return []query{
		{"pods", "ListPodSandbox", 5, false, func(ctx context.Context, s *side.Side) (int, error) {
			r, err := s.Runtime.ListPodSandbox(ctx, &runtimeapi.ListPodSandboxRequest{})
			return len(r.GetItems()), err
		}},
		{"containers", "ListContainers", 5, false, func(ctx context.Context, s *side.Side) (int, error) {
			r, err := s.Runtime.ListContainers(ctx, &runtimeapi.ListContainersRequest{})
			return len(r.GetContainers()), err
		}},
		{"container-stats", "ListContainerStats", 1, true, func(ctx context.Context, s *side.Side) (int, error) {
			r, err := s.Runtime.ListContainerStats(ctx, &runtimeapi.ListContainerStatsRequest{})
			return len(r.GetStats()), err
		}},
		{"pod-stats", "ListPodSandboxStats", 1, true, func(ctx context.Context, s *side.Side) (int, error) {
			r, err := s.Runtime.ListPodSandboxStats(ctx, &runtimeapi.ListPodSandboxStatsRequest{})
			return len(r.GetStats()), err
		}},
	}
}

func (e *Env) ask(ctx context.Context, s *side.Side, q query) error {
	for range q.repeat {
		began := time.Now()
		n, err := q.call(ctx, s)
		took := time.Since(began)
		if err != nil {
			return fmt.Errorf("%s: %w", q.title, err)
		}
		if n < e.Pods {
			return fmt.Errorf("%s: %d entries for %d pods", q.title, n, e.Pods)
		}
		e.Result.Add(e.listMetric(q), s.Name, ms(took))
	}
	return nil
}

func (e *Env) listMetric(q query) report.Metric {
	return report.Metric{Name: "list." + q.name, Title: fmt.Sprintf("%s at %d pods", q.title, e.Pods), Unit: "ms"}
}
