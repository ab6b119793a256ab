package measure

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/berth-run/berth/test/bench/acct"
	"github.com/berth-run/berth/test/bench/content"
	"github.com/berth-run/berth/test/bench/pod"
	"github.com/berth-run/berth/test/bench/side"
)

// load is the idle pods of a side, and what its daemon held before there were any.
type load struct {
	pods  []*pod.Pod
	empty acct.Use
}

// prepare makes pods that do not run yet.
func prepare(s *side.Side, spec pod.Spec, count int) ([]*pod.Pod, error) {
	var pods []*pod.Pod
	for range count {
		p, err := pod.New(s, spec)
		if err != nil {
			return pods, err
		}
		pods = append(pods, p)
	}
	return pods, nil
}

// end takes pods away, so many at once; also those that have not got far.
func end(ctx context.Context, pods []*pod.Pod, parallel int) error {
	var g errgroup.Group
	g.SetLimit(parallel)
	errs := make([]error, len(pods))
	for n, p := range pods {
		g.Go(func() error { errs[n] = p.End(ctx); return nil })
	}
	_ = g.Wait()
	return errors.Join(errs...)
}

// populate gives every side its idle pods, unless they are there. The daemons are started
// anew before: what they hold is to be for these pods.
func (e *Env) populate(ctx context.Context) error {
	if e.loaded == nil {
		e.loaded = map[*side.Side]*load{}
		e.loadErr = e.load(ctx)
	}
	return e.loadErr // also to those that come later: nobody measures too few pods
}

func (e *Env) load(ctx context.Context) error {
	e.logf("starting %d idle pods at every side", e.Pods)
	for _, s := range e.Sides {
		if s.Ours() {
			if err := e.restart(ctx, s, true); err != nil {
				return err
			}
		}
		settle(ctx, time.Second)
		l := &load{empty: acct.UseOf(append(s.DaemonPIDs(), s.KeeperPIDs(content.Program)...))}
		e.loaded[s] = l
		var err error
		if l.pods, err = prepare(s, pod.Spec{}, e.Pods); err != nil {
			return err
		}
		var g errgroup.Group
		g.SetLimit(8)
		for _, p := range l.pods {
			g.Go(func() error {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				return p.Run(ctx)
			})
		}
		if err := g.Wait(); err != nil {
			return fmt.Errorf("idle pods: %w", err)
		}
	}
	settle(ctx, 3*time.Second)
	return nil
}

// depopulate takes the idle pods away.
func (e *Env) depopulate(ctx context.Context) error {
	if e.loaded == nil {
		return nil
	}
	e.logf("taking the idle pods away")
	var g errgroup.Group
	errs := make([]error, len(e.Sides))
	for n, s := range e.Sides {
		if l := e.loaded[s]; l != nil {
			g.Go(func() error { errs[n] = end(ctx, l.pods, 8); return nil })
		}
	}
	_ = g.Wait()
	e.loaded, e.loadErr = nil, nil
	return errors.Join(errs...)
}

// restart stops and starts a side's daemons, with the stats collector of containerd's CRI
// plugin on or off.
func (e *Env) restart(ctx context.Context, s *side.Side, collector bool) error {
	if err := e.Host.SetCollector(s, collector); err != nil {
		return err
	}
	if err := s.Stop(); err != nil {
		return err
	}
	_, _, err := s.Start(ctx)
	return err
}
