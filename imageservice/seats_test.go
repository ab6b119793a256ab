package imageservice

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// takes reports whether a seat is had within a time.
func takes(t *testing.T, s *seats, domain string, within time.Duration) *seat {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	w, err := s.take(ctx, domain, func() int64 { return 0 })
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	return w
}

// busy is a pull whose bytes keep coming.
func busy() func() int64 {
	began := time.Now()
	return func() int64 { return int64(time.Since(began)/(seatWindow/4)) * seatFloor }
}

func TestSeatsOfOneRegistry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSeats(2)
		bytes := busy()
		var held []*seat
		for range 2 {
			w, err := s.take(t.Context(), "a", bytes)
			check(t, err)
			held = append(held, w)
		}
		if takes(t, s, "a", time.Minute) != nil {
			t.Error("three pulls that work have seats, of two")
		}
		s.leave(held[0])
		w := takes(t, s, "a", time.Millisecond)
		if w == nil {
			t.Fatal("a seat that was given back is not free")
		}
		s.leave(w)
		s.leave(held[1])
		if len(s.taken) != 0 || len(s.waiting) != 0 {
			t.Errorf("%d taken, %d wait", len(s.taken), len(s.waiting))
		}
	})
}

func TestSeatsOfStalledPulls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSeats(8)
		for _, domain := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} { // each its own registry
			if takes(t, s, domain, time.Second) == nil {
				t.Fatal("no seat")
			}
		}
		if takes(t, s, "good", 3*seatWindow) == nil {
			t.Error("stalled pulls keep their seats")
		}
	})
}

func TestSeatsAreFair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSeats(8)
		bytes := busy()
		for range 8 {
			_, err := s.take(t.Context(), "greedy", bytes)
			check(t, err)
		}
		for n := range 4 {
			w, err := s.take(t.Context(), "modest", bytes)
			check(t, err)
			if w == nil || len(s.taken) > 8 {
				t.Fatalf("%d taken after %d", len(s.taken), n)
			}
		}
		if takes(t, s, "modest", time.Minute) != nil {
			t.Error("more than its share")
		}
		if takes(t, s, "third", time.Millisecond) == nil {
			t.Error("a third registry gets no seat")
		}
	})
}
