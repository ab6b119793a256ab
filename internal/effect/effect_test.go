package effect

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/berth-run/berth/internal/steps"
)

// box is an object; letter is an effect that writes a letter into it.
type box struct{ done []string }

type letter string

func (l letter) Name() string { return string(l) }

func (l letter) Make(_ context.Context, b *box) error {
	b.done = append(b.done, "+"+string(l))
	if l == "boom" {
		return errors.New("no")
	}
	return nil
}

func (l letter) Remove(_ context.Context, b *box) error {
	b.done = append(b.done, "-"+string(l))
	return nil
}

func TestPlan(t *testing.T) {
	plan := func(last letter) Plan[*box] {
		return Seq[*box]{Of(letter("a")), Par[*box]{Of(letter("b"))}, Removed(letter("c")), Made(letter("d")), Of(last)}
	}
	for last, want := range map[letter]string{
		"e":    "+a +b +d +e -e -c -b -a",
		"boom": "+a +b +d +boom -boom -c -b -a",
	} {
		b := &box{}
		run := steps.Plan{Operation: "Op", Root: plan(last).For(b)}
		err := run.Up(t.Context())
		if (err != nil) != (last == "boom") {
			t.Errorf("%s: %v", last, err)
		}
		if err == nil {
			err = run.Down(t.Context())
			if err != nil {
				t.Error(err)
			}
		}
		if got := strings.Join(b.done, " "); got != want {
			t.Errorf("%s: %s, want %s", last, got, want)
		}
	}
}

// TestPoints: what an effect does not do has no failpoint.
func TestPoints(t *testing.T) {
	plan := Seq[*box]{Of(letter("a")), Removed(letter("c")), Made(letter("d"))}
	got := steps.Points("Op", plan.For(nil), false)
	want := []string{
		"Op/a/do/before", "Op/a/do/after", "Op/a/undo/before", "Op/a/undo/after",
		"Op/c/undo/before", "Op/c/undo/after", "Op/d/do/before", "Op/d/do/after",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
