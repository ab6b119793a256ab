package lifecycle

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/berth-run/berth/internal/failpoint"
	"github.com/berth-run/berth/internal/flight"
	"github.com/berth-run/berth/internal/steps"
	"github.com/berth-run/berth/internal/turns"
	"github.com/berth-run/berth/internal/underway"
)

// Options say how a manager works on its objects.
type Options struct {
	// OperationTimeout bounds every operation, whether or not its callers still wait.
	OperationTimeout time.Duration
	// Observe is told about every step of every operation; may be nil.
	Observe steps.Observer
	// Failpoints are hit at the boundaries of steps; nil has none.
	Failpoints *failpoint.Set
}

// Work is what goes on in a manager.
type Work struct {
	options Options
	calls   flight.Group
	// background is what goes on without a call. Drain does not wait for it.
	background flight.Group

	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// NewWork makes a Work with nothing going on. Close ends it.
func NewWork(o Options) *Work {
	w := &Work{options: o}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	return w
}

// Context ends with [Work.Close]. What goes on without a call works with it.
func (w *Work) Context() context.Context { return w.ctx }

// Do carries out fn, or joins the call that carries it out for the same key (see [flight.Group.Do]). fn's context is
// apart from the caller's, and ends after the operation's own time.
func (w *Work) Do(ctx context.Context, key, what string, fn func(context.Context, *flight.Call) (string, error)) (string, error) {
	return w.calls.Do(ctx, key, what, func(ctx context.Context, call *flight.Call) (string, error) {
		ctx, cancel := w.Bounded(ctx)
		defer cancel()
		return fn(ctx, call)
	})
}

// Track notes a call that nobody joins, made by callers clients (see [flight.Group.Track]).
func (w *Work) Track(key, what string, callers int) (call *flight.Call, end func()) {
	return w.calls.Track(key, what, callers)
}

// Bounded detaches ctx from its caller and gives the operation its own end.
func (w *Work) Bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), w.options.OperationTimeout)
}

// Turn waits for one of the turns until ctx ends. giveBack is called when the work is done. object is a word for the
// error: "pod".
func (w *Work) Turn(ctx context.Context, t *turns.Turns, call *flight.Call, object string) (giveBack func(), err error) {
	call.SetStage("waiting for a turn")
	giveBack, err = t.Take(ctx)
	if err != nil {
		return nil, fmt.Errorf("wait for a turn to start the %s: %w", object, err)
	}
	return giveBack, nil
}

// Plan is an operation whose steps are observed and broken like all others. stage is told which step is under way; may
// be nil.
func (w *Work) Plan(operation string, root steps.Node, stage func(string)) steps.Plan {
	return steps.Plan{Operation: operation, Root: root, Observe: w.options.Observe, Stage: stage, Failpoints: w.options.Failpoints}
}

// Go carries out fn in the background. Close waits for it; fn ends soon after ctx does.
func (w *Work) Go(fn func(ctx context.Context)) { w.running.Go(func() { fn(w.ctx) }) }

// Background notes that something goes on without a call, so that it is seen when it hangs.
func (w *Work) Background(key, what string) (call *flight.Call, end func()) {
	return w.background.Track(key, what, 0)
}

// Hanging lists the operations that have been under way for long, from memory.
func (w *Work) Hanging() []underway.Operation { return underway.Hanging(&w.calls, &w.background) }

// Drain waits for the calls under way until ctx ends. The error says which they are.
func (w *Work) Drain(ctx context.Context) error { return w.calls.Drain(ctx) }

// Close ends what goes on in the background, and waits for it until ctx ends. Drain comes first: calls under way need
// the background.
func (w *Work) Close(ctx context.Context) error {
	w.cancel()
	ended := make(chan struct{})
	go func() { w.running.Wait(); close(ended) }()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("work in the background has not ended: %w", ctx.Err())
	}
}
