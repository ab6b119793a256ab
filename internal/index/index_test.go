package index

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

func letters(ids ...string) *Index[string] {
	x := New("letter", strings.Compare)
	for _, id := range ids {
		x.Put(id, strings.ToUpper(id))
	}
	return x
}

// TestList: all are there, in order, and who has a list keeps it as it was.
func TestList(t *testing.T) {
	x := letters()
	if got := x.List(); len(got) != 0 {
		t.Errorf("empty: %v", got)
	}
	x.Put("b", "B")
	x.Put("a", "A")
	before := x.List()
	if again := x.List(); &again[0] != &before[0] {
		t.Error("made again although nothing changed")
	}
	x.Put("c", "C")
	if got := x.List(); !slices.Equal(got, []string{"A", "B", "C"}) {
		t.Errorf("with one more: %v", got)
	}
	x.Put("c", "D")
	x.Delete("a")
	x.Delete("absent")
	if got := x.List(); !slices.Equal(got, []string{"B", "D"}) || x.Len() != 2 {
		t.Errorf("changed and deleted: %v", got)
	}
	if !slices.Equal(before, []string{"A", "B"}) {
		t.Errorf("an old list became %v", before)
	}
}

// TestGet: an ID, or a prefix that only one has.
func TestGet(t *testing.T) {
	x := letters("a", "abc", "abd", "x12")
	for id, want := range map[string]struct {
		got string
		err error
	}{
		"a": {"A", nil}, "abc": {"ABC", nil}, "x": {"X12", nil}, "ab": {"", errdefs.ErrInvalidArgument},
		"": {"", errdefs.ErrInvalidArgument}, "y": {"", errdefs.ErrNotFound}, "abcd": {"", errdefs.ErrNotFound},
	} {
		if got, err := x.Get(id); got != want.got || !errors.Is(err, want.err) {
			t.Errorf("%q: %q, %v", id, got, err)
		}
	}
}
