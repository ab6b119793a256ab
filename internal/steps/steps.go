// Package steps runs operations that are lists of named steps, each with its
// undo.
//
// What Berth builds for a pod or container (namespaces, mounts, addresses,
// snapshots, processes) is described once, as a [Plan]: an ordered list of
// steps, some of them side by side. [Plan.Up] builds it, [Plan.Down] takes it
// apart in reverse. An undo must be idempotent and must need nothing but what
// the object's record holds, so that Down works on a half-built object, on one
// that a killed daemon left behind, and a second time.
package steps

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/berth-run/berth/internal/failpoint"
)

// Step is one effect and how to take it back. Either function may be nil.
type Step struct {
	// Name is a short constant word ("network", "shim"): it appears in errors,
	// metrics and in failpoints.
	Name string
	// Do builds the effect. It is called at most once per Up.
	Do func(context.Context) error
	// Undo removes the effect, whether or not it is there.
	Undo func(context.Context) error
}

// Node is a part of a plan: a [Step], a [Seq] or a [Par].
type Node interface {
	up(context.Context, *run) error
	down(context.Context, *run) error
	each(func(Step))
}

// Seq is done in order and undone in reverse. The first error ends it.
type Seq []Node

// Par is done side by side, and undone side by side. All parts are waited for;
// an error of one cancels nothing of the others, since a half-done effect is
// harder to undo than a done one.
type Par []Node

// Observer is told about every step that begins; verb is "do" or "undo". The step runs
// with the context that it returns, which may carry a span, and end is called with
// the step's result.
type Observer func(ctx context.Context, operation, step, verb string) (_ context.Context, end func(error))

// Plan is an operation: what to do, and what to tell to whom meanwhile.
type Plan struct {
	// Operation names what is being done, in the CRI's words ("RunPodSandbox").
	Operation string
	// Root is what to do.
	Root Node
	// Observe is told about every step; nil tells nobody.
	Observe Observer
	// Stage, when not nil, is told which step is under way.
	Stage func(step string)
	// Failpoints are hit before and after each step, see [Points]; nil has none.
	Failpoints *failpoint.Set
}

// Up does the plan. When a step fails, everything is undone, steps that have
// not been reached included: their undo finds nothing. The error names the step;
// the text of an error of undoing follows.
func (p Plan) Up(ctx context.Context) error {
	err := p.Root.up(ctx, &run{plan: p})
	if err == nil {
		return nil
	}
	if undo := p.Down(context.WithoutCancel(ctx)); undo != nil {
		return fmt.Errorf("%w\nundoing: %v", err, undo) // the class is that of what failed first
	}
	return err
}

// Down undoes the plan. Every step is tried, even after one failed, except that
// a step is left alone when a step that was built on it could not be undone.
func (p Plan) Down(ctx context.Context) error {
	return p.Root.down(ctx, &run{plan: p})
}

type run struct{ plan Plan }

// StepError says which step failed.
type StepError struct {
	// Step is the name of the step.
	Step string
	// Err is what went wrong.
	Err error
}

// Error implements error.
func (e *StepError) Error() string { return e.Step + ": " + e.Err.Error() }

// Unwrap gives the cause, so that its class survives.
func (e *StepError) Unwrap() error { return e.Err }

func (r *run) call(ctx context.Context, name, verb string, fn func(context.Context) error) error {
	if fn == nil {
		return nil
	}
	if r.plan.Stage != nil {
		r.plan.Stage(name)
	}
	end := func(error) {}
	if r.plan.Observe != nil {
		ctx, end = r.plan.Observe(ctx, r.plan.Operation, name, verb)
	}
	err := r.fail(ctx, name, verb, "before")
	if err == nil {
		err = fn(ctx)
	}
	if err == nil {
		err = r.fail(ctx, name, verb, "after")
	}
	end(err)
	if err != nil {
		return &StepError{Step: name, Err: err}
	}
	return nil
}

// fail hits a failpoint.
func (r *run) fail(ctx context.Context, name, verb, when string) error {
	if !r.plan.Failpoints.Armed() {
		return nil
	}
	return r.plan.Failpoints.Hit(ctx, point(r.plan.Operation, name, verb, when))
}

func (s Step) up(ctx context.Context, r *run) error   { return r.call(ctx, s.Name, "do", s.Do) }
func (s Step) down(ctx context.Context, r *run) error { return r.call(ctx, s.Name, "undo", s.Undo) }

func (s Seq) up(ctx context.Context, r *run) error {
	for _, n := range s {
		if err := n.up(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

func (s Seq) down(ctx context.Context, r *run) error {
	for i := len(s) - 1; i >= 0; i-- {
		if err := s[i].down(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

func (p Par) up(ctx context.Context, r *run) error {
	return p.parallel(func(n Node) error { return n.up(ctx, r) })
}

func (p Par) down(ctx context.Context, r *run) error {
	return p.parallel(func(n Node) error { return n.down(ctx, r) })
}

func (p Par) parallel(fn func(Node) error) error {
	errs := make([]error, len(p))
	var wg sync.WaitGroup
	for i, n := range p[1:] {
		wg.Go(func() { errs[i+1] = fn(n) })
	}
	errs[0] = fn(p[0])
	wg.Wait()
	return errors.Join(errs...)
}
