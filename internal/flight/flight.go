// Package flight lets retries of a request join the call that is under way.
//
// The kubelet repeats a request that timed out, again and again, with the same
// key. The first call owns the work; it runs on a context of its own and goes
// on to a clean end when every caller has left. Later callers with the same key
// wait for the same result.
package flight

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"
)

// Call is one piece of work under way.
type Call struct {
	what    string
	started time.Time
	stage   atomic.Pointer[string]
	waiting atomic.Int64
	done    chan struct{}
	id      string
	err     error
}

// SetStage names what the call is doing now, for the error of a caller that gives up waiting.
func (c *Call) SetStage(stage string) { c.stage.Store(&stage) }

// Stage is what the call is doing, "" before anybody said so.
func (c *Call) Stage() string {
	if s := c.stage.Load(); s != nil {
		return *s
	}
	return ""
}

// Waiting is how many callers wait for the call now: 0 once all have given up. Another may come at any time.
func (c *Call) Waiting() int { return int(c.waiting.Load()) }

// Age is how long the call has been under way.
func (c *Call) Age() time.Duration { return time.Since(c.started) }

// Group holds the calls under way by key. The zero value is ready for use.
type Group struct {
	mu    sync.Mutex
	calls map[string]*Call
	idle  chan struct{} // closed when no call is under way; nil while nobody drains

	tracked uint64 // how many calls Track has noted
}

// Do runs fn for key, or joins the call that runs for it, and returns its
// result. fn's context keeps ctx's values but not its end. A call whose ctx has already ended
// begins nothing: its caller may have gone on, and may have undone what the request asks for.
// When ctx ends later, the error is context.DeadlineExceeded (or Canceled) and says what the
// call is doing and for how long; the work goes on.
func (g *Group) Do(ctx context.Context, key, what string, fn func(context.Context, *Call) (string, error)) (string, error) {
	g.mu.Lock()
	c, running := g.calls[key]
	if !running && ctx.Err() != nil {
		g.mu.Unlock()
		return "", fmt.Errorf("%s: its caller had given up before it began: %w", what, ctx.Err())
	}
	if !running {
		if g.calls == nil {
			g.calls = map[string]*Call{}
		}
		c = &Call{what: what, started: time.Now(), done: make(chan struct{})}
		g.calls[key] = c
		c.waiting.Add(1)
		go g.run(context.WithoutCancel(ctx), key, what, c, fn)
	}
	if running {
		c.waiting.Add(1)
	}
	g.mu.Unlock()
	defer c.waiting.Add(-1)

	select {
	case <-c.done:
		return c.id, c.err
	case <-ctx.Done():
		class := context.DeadlineExceeded
		if ctx.Err() == context.Canceled {
			class = context.Canceled
		}
		return "", fmt.Errorf("%s is still under way (stage %q, for %s): it goes on, and the same request again joins it: %w",
			what, c.Stage(), c.Age().Round(time.Millisecond), class)
	}
}

// run executes fn. A panic becomes an error of this call rather than the end of
// the daemon.
func (g *Group) run(ctx context.Context, key, what string, c *Call, fn func(context.Context, *Call) (string, error)) {
	defer func() {
		if p := recover(); p != nil {
			c.id, c.err = "", fmt.Errorf("%s: panic in stage %q: %v: %w", what, c.Stage(), p, errdefs.ErrInternal)
		}
		g.over(key)
		close(c.done)
	}()
	c.id, c.err = fn(ctx, c)
}

// Track notes work that nobody joins, and how many callers wait for it: it counts as under way until end is
// called. key need not be unique.
func (g *Group) Track(key, what string, callers int) (c *Call, end func()) {
	c = &Call{what: what, started: time.Now(), done: make(chan struct{})}
	c.waiting.Add(int64(callers))
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.calls == nil {
		g.calls = map[string]*Call{}
	}
	g.tracked++
	key = fmt.Sprintf("%s/%d", key, g.tracked)
	g.calls[key] = c
	return c, func() { g.over(key) }
}

// over forgets a call that has ended.
func (g *Group) over(key string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.calls, key)
	if g.idle != nil && len(g.calls) == 0 {
		close(g.idle)
		g.idle = nil
	}
}

// Under describes a call that is under way.
type Under struct {
	// Key and What are what Do or Track were given.
	Key, What string
	// Stage is what the call is doing, "" before anybody said so.
	Stage string
	// Since is when it began.
	Since time.Time
	// Waiting is how many callers wait for it.
	Waiting int
}

// UnderWay lists the calls under way, in no order. It does not wait for them.
func (g *Group) UnderWay() []Under {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make([]Under, 0, len(g.calls))
	for key, c := range g.calls {
		out = append(out, Under{Key: key, What: c.what, Stage: c.Stage(), Since: c.started, Waiting: c.Waiting()})
	}
	return out
}

// Len is the number of calls under way.
func (g *Group) Len() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.calls)
}

// Drain waits until no call is under way or ctx ends; calls that begin
// meanwhile are waited for too. The error says what is still under way, and is ctx's.
func (g *Group) Drain(ctx context.Context) error {
	g.mu.Lock()
	if len(g.calls) == 0 {
		g.mu.Unlock()
		return nil
	}
	if g.idle == nil {
		g.idle = make(chan struct{})
	}
	idle := g.idle
	g.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", g.describe(), ctx.Err())
	}
}

// describe says what is under way.
func (g *Group) describe() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []string
	for _, c := range g.calls {
		out = append(out, fmt.Sprintf("%s (stage %q, for %s)", c.what, c.Stage(), c.Age().Round(time.Millisecond)))
	}
	sort.Strings(out)
	return strings.Join(out, ", ")
}
