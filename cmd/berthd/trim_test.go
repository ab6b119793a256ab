package main

import (
	"context"
	"math"
	"testing"
	"time"
)

func TestHalfTaken(t *testing.T) {
	for _, x := range []struct {
		used, live, goal uint64
		want             bool
	}{
		{100, 100, 140, false}, {120, 100, 140, false}, {121, 100, 140, true}, {200, 100, 140, true},
		{200, 100, math.MaxUint64, false}, {200, 100, 100, false}, {0, 0, 0, false},
	} {
		if got := halfTaken(x.used, x.live, x.goal); got != x.want {
			t.Errorf("%+v: %t", x, got)
		}
	}
}

// TestTrimmerCalls: it is quiet after the last of the calls, and not while one is under way.
func TestTrimmerCalls(t *testing.T) {
	tr := newTrimmer()
	select {
	case <-tr.quiet.C:
		t.Fatal("quiet before the first call")
	default:
	}
	_, _ = tr.unary(context.Background(), nil, nil, func(context.Context, any) (any, error) {
		_, _ = tr.unary(context.Background(), nil, nil, func(context.Context, any) (any, error) { return nil, nil })
		if n := tr.calls.Load(); n != 1 {
			t.Errorf("%d calls", n)
		}
		return nil, nil
	})
	select {
	case <-tr.quiet.C:
	case <-time.After(time.Minute):
		t.Fatal("never quiet")
	}
	if n := tr.calls.Load(); n != 0 {
		t.Errorf("%d calls", n)
	}
}
