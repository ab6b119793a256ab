package steps

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/berth-run/berth/internal/failpoint"
)

// recorder is a plan whose steps note what is done.
type recorder struct {
	mu   sync.Mutex
	done []string
	fail map[string]error
}

func (r *recorder) step(name string) Step {
	act := func(verb string) func(context.Context) error {
		return func(context.Context) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.done = append(r.done, verb+name)
			return r.fail[verb+name]
		}
	}
	return Step{Name: name, Do: act("+"), Undo: act("-")}
}

func (r *recorder) plan(s *failpoint.Set) Plan {
	return Plan{Operation: "Op", Failpoints: s, Root: Seq{r.step("a"), Par{r.step("b"), r.step("c")}, r.step("d")}}
}

func (r *recorder) sorted() string {
	// The two of the Par come in any order.
	for i := range r.done[:max(0, len(r.done)-1)] {
		if r.done[i][1] == 'c' && r.done[i+1][1] == 'b' {
			r.done[i], r.done[i+1] = r.done[i+1], r.done[i]
		}
	}
	return strings.Join(r.done, " ")
}

func TestOrder(t *testing.T) {
	boom := errors.New("boom")
	for name, c := range map[string]struct {
		fail map[string]error
		want string
	}{
		"all":                   {nil, "+a +b +c +d"},
		"last fails":            {map[string]error{"+d": boom}, "+a +b +c +d -d -b -c -a"},
		"one of a pair fails":   {map[string]error{"+c": boom}, "+a +b +c -d -b -c -a"},
		"an undo fails as well": {map[string]error{"+d": boom, "-b": boom}, "+a +b +c +d -d -b -c"},
	} {
		r := &recorder{fail: c.fail}
		err := r.plan(nil).Up(t.Context())
		if got := r.sorted(); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		if (err != nil) != (c.fail != nil) {
			t.Errorf("%s: %v", name, err)
		}
		var step *StepError
		if err != nil && (!errors.As(err, &step) || !errors.Is(err, boom)) {
			t.Errorf("%s: %v does not name the step", name, err)
		}
	}
}

// TestPoints hits every point that the plan names, and finds it where it says.
func TestPoints(t *testing.T) {
	points := Points("Op", (&recorder{}).plan(nil).Root, false)
	if len(points) != 16 || !slices.Contains(points, "Op/c/undo/after") {
		t.Fatalf("%q", points)
	}
	for _, p := range points {
		s := failpoint.New(points)
		if err := s.ArmAll(p + "=error"); err != nil {
			t.Fatal(err)
		}
		r := &recorder{}
		plan, word := r.plan(s), strings.Split(p, "/")
		err := plan.Up(t.Context())
		if word[2] == "undo" {
			if err != nil {
				t.Errorf("%s: hit while doing: %v", p, err)
			}
			err = plan.Down(t.Context())
		}
		var injected *failpoint.InjectedError
		if !errors.As(err, &injected) {
			t.Errorf("%s: %v", p, err)
		}
		sign := map[string]string{"do": "+", "undo": "-"}[word[2]]
		if did := slices.Contains(r.done, sign+word[1]); did != (word[3] == "after") {
			t.Errorf("%s: step was done: %v", p, did)
		}
	}
	if down := Points("Op", (&recorder{}).plan(nil).Root, true); len(down) != 8 {
		t.Errorf("%q", down)
	}
}
