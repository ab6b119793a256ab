package flight

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"
)

func TestJoin(t *testing.T) {
	var g Group
	gate, runs := make(chan struct{}), 0
	work := func(context.Context, *Call) (string, error) {
		runs++
		<-gate
		return "id", nil
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if id, err := g.Do(context.Background(), "k", "work", work); id != "id" || err != nil {
				t.Error(id, err)
			}
		})
	}
	for g.Len() == 0 {
		time.Sleep(time.Millisecond)
	}
	close(gate)
	wg.Wait()
	if g.Len() != 0 {
		t.Error("calls left")
	}
	_ = runs // 1, or more where a caller came after the end of the first
}

// TestCallerLeaves: the work goes on, and the next caller gets its result.
func TestCallerLeaves(t *testing.T) {
	var g Group
	gate := make(chan struct{})
	work := func(ctx context.Context, c *Call) (string, error) {
		c.SetStage("digging")
		<-gate
		return "id", ctx.Err()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := g.Do(ctx, "k", "work", work)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "digging") {
		t.Errorf("%v", err)
	}
	if err := g.Drain(ctx); err == nil {
		t.Error("drained although a call is under way")
	}
	close(gate)
	second := func(context.Context, *Call) (string, error) { return "id", nil }
	if id, err := g.Do(t.Context(), "k", "work", second); id != "id" || err != nil {
		t.Error(id, err)
	}
	if err := g.Drain(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestPanic(t *testing.T) {
	var g Group
	_, err := g.Do(t.Context(), "k", "work", func(context.Context, *Call) (string, error) { panic("boom") })
	if !errdefs.IsInternal(err) || g.Len() != 0 {
		t.Errorf("%v", err)
	}
}

// TestGivenUpBefore: a call whose caller left before it began has no effect, but joins one that is under way.
func TestGivenUpBefore(t *testing.T) {
	var g Group
	gone, leave := context.WithCancel(t.Context())
	leave()
	_, err := g.Do(gone, "k", "work", func(context.Context, *Call) (string, error) {
		t.Error("the work began")
		return "", nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if g.Len() != 0 {
		t.Error("a call is left")
	}
}

// TestUnderWay lists what is under way, work that nobody joins included.
func TestUnderWay(t *testing.T) {
	var g Group
	_, end := g.Track("exit/x", "ContainerExit of x", 0)
	call, endOther := g.Track("exit/x", "ContainerExit of x", 1)
	call.SetStage("task")
	seen := map[string]int{}
	for _, u := range g.UnderWay() {
		if u.What != "ContainerExit of x" || !strings.HasPrefix(u.Key, "exit/x/") || u.Since.IsZero() {
			t.Errorf("%+v", u)
		}
		seen[u.Stage] = u.Waiting
	}
	if len(seen) != 2 || seen["task"] != 1 || seen[""] != 0 {
		t.Errorf("callers by stage: %v", seen)
	}
	end()
	endOther()
	if g.Len() != 0 {
		t.Error("calls are left")
	}
	if err := g.Drain(t.Context()); err != nil {
		t.Error(err)
	}
}
