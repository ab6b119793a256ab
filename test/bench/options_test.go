package main

import (
	"strconv"
	"testing"
	"time"
)

// However long building took, something is left to measure with, and what was promised is kept up to
// a build with an empty cache.
func TestSchedule(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		quick       bool
		build       time.Duration
		pace        float64
		late, total time.Duration // from the begin of the build; total without the tail, none in the short form
	}{
		{false, 0, 1, 7 * time.Minute, 805 * time.Second},
		{false, 42 * time.Second, 0.9, 7 * time.Minute, 805 * time.Second},
		{false, 5 * time.Minute, 2. / 7, 7 * time.Minute, 805 * time.Second},
		{false, time.Hour, 1.5 / 7, 61*time.Minute + 30*time.Second, 67*time.Minute + 55*time.Second},
		{true, 15 * time.Second, 0.8, 75 * time.Second, 0},
		{true, 5 * time.Minute, 0.6, 345 * time.Second, 0},
	} {
		began := now.Add(-c.build).Truncate(time.Second)
		o := &options{quick: c.quick, began: began.Unix()}
		s := o.schedule(began.Add(c.build))
		if s.Pace < c.pace-0.01 || s.Pace > c.pace+0.01 || s.Late.Sub(began) != c.late ||
			s.End.IsZero() != c.quick || !c.quick && s.End.Sub(began) != c.total {
			t.Errorf("quick %t, build %s: pace %.2f, late %s, end %s", c.quick, c.build, s.Pace, s.Late.Sub(began), s.End.Sub(began))
		}
	}
}

// make's own argument is not part of how to get the figures again.
func TestCommand(t *testing.T) {
	o, err := parse([]string{"--began", strconv.Itoa(1 << 30), "--quick", "--json", "out.json"})
	if err != nil {
		t.Fatal(err)
	}
	if got := o.command(); got != "go run ./test/bench --quick --json out.json" {
		t.Error(got)
	}
}
