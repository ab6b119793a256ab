package cri

import (
	"context"
	"testing"
	"time"
)

// TestAnswerInTime: a handler has a little less time than its caller, and all of it where the caller waits for ever.
func TestAnswerInTime(t *testing.T) {
	for _, c := range []struct{ caller, atLeast, atMost time.Duration }{
		{time.Hour, answerTime, answerTime},
		{time.Second, 40 * time.Millisecond, 50 * time.Millisecond},
		{-time.Second, -time.Minute, 0}, // over already
	} {
		ctx, cancel := context.WithTimeout(t.Context(), c.caller)
		_, _ = answerInTime(ctx, nil, nil, func(inner context.Context, _ any) (any, error) {
			outer, _ := ctx.Deadline()
			deadline, ok := inner.Deadline()
			if margin := outer.Sub(deadline); !ok || margin < c.atLeast || margin > c.atMost {
				t.Errorf("a caller who waits %s has an answer %s before, want between %s and %s", c.caller, margin, c.atLeast, c.atMost)
			}
			return nil, nil
		})
		cancel()
	}
	_, _ = answerInTime(t.Context(), nil, nil, func(inner context.Context, _ any) (any, error) {
		if _, ok := inner.Deadline(); ok {
			t.Error("a caller without a deadline gets one")
		}
		return nil, nil
	})
}
