package measure

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/berth-run/berth/test/bench/report"
	"github.com/berth-run/berth/test/bench/side"
)

func TestRounds(t *testing.T) {
	count := func(e Env, plan Plan, each time.Duration) int {
		e.current = Measurement{Names: []string{"test"}, Full: plan}
		n := 0
		if err := e.rounds(t.Context(), func(int) error { n++; time.Sleep(each); return nil }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for name, c := range map[string]struct {
		env  Env
		plan Plan
		each time.Duration
		want int
	}{
		"as planned":          {Env{}, Plan{5, time.Minute}, 0, 5},
		"two at least":        {Env{}, Plan{5, time.Millisecond}, 10 * time.Millisecond, 2},
		"asked for":           {Env{Rounds: 7}, Plan{5, time.Nanosecond}, time.Millisecond, 7},
		"at half the pace":    {Env{Schedule: Schedule{Pace: 0.5}}, Plan{9, time.Minute}, 0, 4},
		"two at any pace":     {Env{Schedule: Schedule{Pace: 0.1}}, Plan{9, time.Minute}, 0, 2},
		"one when it is late": {Env{Schedule: Schedule{Late: time.Now()}}, Plan{5, time.Minute}, 0, 1},
	} {
		if got := count(c.env, c.plan, c.each); got != c.want {
			t.Errorf("%s: %d rounds, want %d", name, got, c.want)
		}
	}
}

// A run that has taken too long leaves out what is left, and says so.
func TestNoTime(t *testing.T) {
	e := &Env{Result: &report.Result{}, Schedule: Schedule{End: time.Now().Add(-time.Second)}}
	if err := e.Measure(t.Context(), Measurement{Names: []string{"test"}, Run: func(context.Context, *Env) error {
		t.Error("measured")
		return nil
	}}); !errors.Is(err, ErrNoTime) {
		t.Fatal(err)
	}
	if f := e.Result.Failures; len(f) != 1 || f[0].Measurement != "test" {
		t.Errorf("%v", f)
	}
}

// A side that fails does not keep the others from being measured.
func TestInterleaved(t *testing.T) {
	e := &Env{Result: &report.Result{}, Sides: []*side.Side{{Name: "a"}, {Name: "b"}, {Name: "c"}}}
	if err := e.Measure(t.Context(), Measurement{Names: []string{"test"}, Full: Plan{3, time.Minute},
		Run: func(ctx context.Context, e *Env) error {
			return e.rounds(ctx, func(int) error {
				return e.interleaved(ctx, func(s *side.Side) error {
					if s.Name == "b" {
						return errors.New("broken")
					}
					e.Result.Add(report.Metric{Name: "test.x"}, s.Name, 1)
					return nil
				})
			})
		}}); err != nil {
		t.Fatal(err)
	}
	m := e.Result.Metric("test.x")
	if len(m.Samples["a"]) != 3 || len(m.Samples["c"]) != 3 || len(m.Samples["b"]) != 0 {
		t.Errorf("%v", m.Samples)
	}
	if f := e.Result.Failures; len(f) != 1 || f[0].Count != 3 || f[0].Side != "b" {
		t.Errorf("%+v", f)
	}
}

// Targets are about metrics whose measurement exists.
func TestTargetsAreMeasured(t *testing.T) {
	known := map[string]bool{}
	for _, m := range All() {
		for _, name := range m.Names {
			known[name] = true
		}
		if m.Full.Rounds < 1 || m.Full.Limit <= 0 || m.Run == nil || m.Title == "" {
			t.Errorf("%v is not complete", m.Names)
		}
	}
	for _, target := range report.Targets() {
		if group, _, _ := strings.Cut(target.Metric, "."); !known[group] {
			t.Errorf("nothing measures %s", target.Metric)
		}
	}
}
