package lifecycle

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"

	"github.com/berth-run/berth/internal/flight"
	"github.com/berth-run/berth/internal/turns"
)

type thing struct{ id, key string }

func (t *thing) RecordID() string   { return t.id }
func (t *thing) RequestKey() string { return t.key }

// TestBook: an object is found by ID, prefix and key, and one that took over the key keeps it.
func TestBook(t *testing.T) {
	b := NewBook("thing", func(x, y *thing) int { return strings.Compare(x.id, y.id) })
	first, second := &thing{"abc", "k"}, &thing{"xyz", "k"}
	b.Add(first)
	if got, ok := b.For("k"); !ok || got != first {
		t.Errorf("by key: %v", got)
	}
	b.Add(second)
	b.Forget(first)
	if got, ok := b.For("k"); !ok || got != second {
		t.Errorf("the key after the first one went: %v", got)
	}
	if got, err := b.Get("x"); err != nil || got != second {
		t.Errorf("by prefix: %v, %v", got, err)
	}
	if _, err := b.Get("abc"); !errdefs.IsNotFound(err) {
		t.Errorf("forgotten: %v", err)
	}
	b.Forget(second)
	if _, ok := b.For("k"); ok || b.Len() != 0 || len(b.List()) != 0 {
		t.Error("something is left")
	}
}

// TestSave: a record that could not be written is unchanged in memory.
func TestSave(t *testing.T) {
	var s State[int]
	s.Init(1)
	add := func(r *int) { *r++ }
	var written []int
	write := func(_ context.Context, r *int) error { written = append(written, *r); return nil }
	if err := s.Save(t.Context(), write, add); err != nil {
		t.Fatal(err)
	}
	no := errors.New("no")
	if err := s.Save(t.Context(), func(context.Context, *int) error { return no }, add); !errors.Is(err, no) {
		t.Errorf("%v", err)
	}
	if s.Copy() != 2 || !slices.Equal(written, []int{2}) {
		t.Errorf("%d, written %v", s.Copy(), written)
	}
}

// TestDo: a retry joins, and the work ends by itself when its time is over.
func TestDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWork(Options{OperationTimeout: time.Minute})
		defer func() { _ = w.Close(t.Context()) }()
		var begun atomic.Int32
		fn := func(ctx context.Context, _ *flight.Call) (string, error) {
			begun.Add(1)
			<-ctx.Done()
			return "", ctx.Err()
		}
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := w.Do(impatient, "k", "work", fn); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "under way") {
			t.Errorf("impatient: %v", err)
		}
		began := time.Now()
		if _, err := w.Do(t.Context(), "k", "work", fn); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 59*time.Second {
			t.Errorf("patient: %v after %v", err, time.Since(began))
		}
		if begun.Load() != 1 {
			t.Errorf("begun %d times", begun.Load())
		}
	})
}

// TestClose: what goes on in the background hears of the end, and is waited for.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWork(Options{})
		w.Go(func(ctx context.Context) {
			<-ctx.Done()
			time.Sleep(time.Minute)
		})
		soon, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := w.Close(soon); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("soon: %v", err)
		}
		if err := w.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestTurn: a call that waits for a turn says so, and gives up with its context.
func TestTurn(t *testing.T) {
	w := NewWork(Options{})
	defer func() { _ = w.Close(t.Context()) }()
	call, end := w.Track("k", "work", 1)
	defer end()
	one := turns.New(1)
	giveBack, err := w.Turn(t.Context(), one, call, "pod")
	if err != nil || call.Stage() != "waiting for a turn" {
		t.Fatalf("%v, stage %q", err, call.Stage())
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.Turn(ended, one, call, "pod"); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "turn to start the pod") {
		t.Errorf("%v", err)
	}
	giveBack()
}

// TestSettle asks until the database answers.
func TestSettle(t *testing.T) {
	away, none := errdefs.ErrUnavailable, errdefs.ErrNotFound
	for name, c := range map[string]struct {
		answers []error
		gone    bool
	}{
		"away, then none": {[]error{away, away, none}, true},
		"away, then one":  {[]error{away, nil}, false},
		"dealt with":      {[]error{away, away, away, away}, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			asked, gone := 0, false
			look := func(context.Context, string) error { asked++; return c.answers[asked-1] }
			Settle(t.Context(), "id", look, func() bool { return asked < 4 }, func() { gone = true })
			if gone != c.gone || asked != len(c.answers) {
				t.Errorf("%s: gone %v after %d answers", name, gone, asked)
			}
		})
	}
	if !Lookup(func(context.Context, string) error { return away }).Recorded(t.Context(), "id") {
		t.Error("without an answer there may be a record")
	}
}

func TestUnrecorded(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"known", "left"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Unrecorded(dir, map[string]bool{"known": true})
	if err != nil || !slices.Equal(got, []string{filepath.Join(dir, "left")}) {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := Unrecorded(filepath.Join(dir, "absent"), nil); err != nil || len(got) != 0 {
		t.Errorf("absent: %v, %v", got, err)
	}
}

func TestEach(t *testing.T) {
	var sum atomic.Int64
	Each([]int64{1, 2, 3, 4}, func(n int64) { sum.Add(n) })
	if sum.Load() != 10 {
		t.Errorf("%d", sum.Load())
	}
}
