// Package measure has the measurements, one a file. Each begins with a table of what it
// does.
package measure

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"github.com/berth-run/berth/test/bench/pod"
	"github.com/berth-run/berth/test/bench/report"
	"github.com/berth-run/berth/test/bench/side"
)

// Plan is how much is measured: rounds, and the time after which no further one begins.
type Plan struct {
	Rounds int
	Limit  time.Duration
}

// Measurement is one kind of figure.
type Measurement struct {
	// Names by which it is asked for; one run answers them all.
	Names []string
	// Title is a line about it.
	Title string
	// Full and Quick are the plans of the long and the short form; a Quick plan without
	// rounds leaves it out.
	Full, Quick Plan
	// Least is how many rounds there are when the run is late; 0 is one.
	Least int
	// Loaded reports whether it wants a number of idle pods at every side.
	Loaded bool
	Run    func(ctx context.Context, e *Env) error
}

// All measurements, in the order in which they run: what suffers least from few rounds comes last.
func All() []Measurement {
	return []Measurement{
		daemon, start, startHost, cpu, exec, pull, throughput, burst, logs, streams,
		density, list, idle, polled, loadedStart,
	}
}

// Schedule is how much time a whole run has.
type Schedule struct {
	// Pace is the part of the plans for which there is time; zero is all of them.
	Pace float64
	// Late is when one round of everything that is left has to do, or its Least.
	Late time.Time
	// End is when no further measurement begins.
	End time.Time
}

// passed reports whether a moment that has been set has come.
func passed(moment time.Time) bool { return !moment.IsZero() && time.Now().After(moment) }

// Env is what a measurement works with.
type Env struct {
	Host   *side.Host
	Sides  []*side.Side
	Result *report.Result
	Quick  bool
	// Rounds replaces those of the plans when it is not zero.
	Rounds int
	// Schedule of a whole run; the zero one leaves all the time there is.
	Schedule Schedule
	// Pods is how many idle pods a loaded side has.
	Pods int

	current Measurement
	loaded  map[*side.Side]*load // by side; nil while there are no idle pods
	loadErr error                // why there are not as many as there should be
	rng     *rand.Rand
}

// Measure runs a measurement, with or without idle pods as it wants them, if there is time for it. Its error is
// among the result's failures, too.
func (e *Env) Measure(ctx context.Context, m Measurement) error {
	err := e.measure(ctx, m)
	if err != nil {
		e.Result.Fail(m.Names[0], "every side", err)
	}
	return err
}

func (e *Env) measure(ctx context.Context, m Measurement) error {
	if passed(e.Schedule.End) {
		e.logf("%s: left out, for the run has taken too long", m.Names[0])
		return ErrNoTime
	}
	e.current = m
	if e.rng == nil {
		e.rng = rand.New(rand.NewPCG(1, 2))
	}
	if m.Loaded {
		if err := e.populate(ctx); err != nil {
			return err
		}
	} else if err := e.depopulate(ctx); err != nil {
		return err
	}
	began := time.Now()
	e.logf("%s: %s", m.Names[0], m.Title)
	err := m.Run(ctx, e)
	e.logf("%s took %s", m.Names[0], time.Since(began).Round(time.Second))
	return err
}

// ErrNoTime is the error of a measurement that would have begun after the end of the Schedule.
var ErrNoTime = errors.New("left out, for the run has taken too long; --only measures it alone")

// Finish takes away what measurements share.
func (e *Env) Finish(ctx context.Context) error { return e.depopulate(context.WithoutCancel(ctx)) }

func (e *Env) logf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format(time.TimeOnly)+" "+format+"\n", args...)
}

func (e *Env) plan() Plan {
	plan := e.current.Full
	if e.Quick && e.current.Quick.Rounds > 0 {
		plan = e.current.Quick
	}
	if pace := e.Schedule.Pace; pace > 0 && pace < 1 {
		plan.Rounds = max(min(plan.Rounds, e.least()), int(float64(plan.Rounds)*pace))
		plan.Limit = time.Duration(float64(plan.Limit) * pace)
	}
	if e.Rounds > 0 {
		plan = Plan{Rounds: e.Rounds, Limit: time.Hour}
	}
	return plan
}

// least is how many rounds there are at any pace: there is no interval of one value.
func (e *Env) least() int { return max(2, e.current.Least) }

// rounds calls fn as often as planned, until the time is up or ctx ends. If more are planned, two
// rounds are always done, unless the whole run has taken too long already.
func (e *Env) rounds(ctx context.Context, fn func(round int) error) error {
	plan := e.plan()
	began := time.Now()
	for round := range plan.Rounds {
		if err := ctx.Err(); err != nil {
			return err
		}
		late := e.Rounds == 0 && passed(e.Schedule.Late)
		if (round >= e.least() && time.Since(began) > plan.Limit) || (round >= max(1, e.current.Least) && late) {
			e.logf("%s: %d of %d rounds in %s", e.current.Names[0], round, plan.Rounds, time.Since(began).Round(time.Second))
			break
		}
		if err := fn(round); err != nil {
			return err
		}
	}
	return nil
}

// interleaved calls fn for every side, in another order every round: what the kernel
// still does for the one (a network namespace goes in the background) slows the next one
// down, and that must not always be the same. An error is recorded, and the others go on.
func (e *Env) interleaved(ctx context.Context, fn func(s *side.Side) error) error {
	return e.among(ctx, e.Sides, fn)
}

// among is interleaved for some sides, of which one may be a floor.
func (e *Env) among(ctx context.Context, sides []*side.Side, fn func(s *side.Side) error) error {
	order := slices.Clone(sides)
	e.rng.Shuffle(len(order), func(a, b int) { order[a], order[b] = order[b], order[a] })
	for _, s := range order {
		if err := ctx.Err(); err != nil {
			return err
		}
		e.attempt(s, fn(s))
	}
	return nil
}

// side is the side of this name, nil when it does not take part.
func (e *Env) side(name string) *side.Side {
	for _, s := range e.Sides {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// attempt records a failure.
func (e *Env) attempt(s *side.Side, err error) {
	if err != nil {
		e.Result.Fail(e.current.Names[0], s.Name, err)
	}
}

// settle lets the kernel finish what the last call has left to it.
func settle(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// pause is between two pods of which the times matter.
const pause = 50 * time.Millisecond

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// cpuOf is the CPU time that a side uses while fn runs, what it does for some moments
// afterwards included.
func cpuOf(ctx context.Context, s *side.Side, after time.Duration, fn func() error) (time.Duration, error) {
	before, err := s.CPU()
	if err != nil {
		return 0, err
	}
	if err := fn(); err != nil {
		return 0, err
	}
	settle(ctx, after)
	now, err := s.CPU()
	return now - before, err
}

// Warm runs a pod at every side, so that no first time is measured.
func (e *Env) Warm(ctx context.Context) error {
	for _, s := range e.Sides {
		for range 2 {
			if _, err := pod.Cycle(ctx, s, pod.Spec{}); err != nil {
				return err
			}
		}
	}
	return nil
}
