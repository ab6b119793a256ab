package turns

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestTurnPasses: an operation that does not end keeps its turn for so long and no longer, and giving it back late
// gives nobody a second one.
func TestTurnPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(1, time.Second)
		stuck, err := turns.Take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		next, err := turns.Take(t.Context())
		if err != nil || time.Since(began) != time.Second {
			t.Fatalf("the next had its turn after %s: %v", time.Since(began), err)
		}
		stuck()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		if _, err := turns.Take(ctx); err != context.DeadlineExceeded {
			t.Fatalf("two have the only turn: %v", err)
		}
		next()
		last, err := turns.Take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		last()
	})
}

func TestNoBound(t *testing.T) {
	for range 3 {
		if _, err := New(0).Take(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
