package handler

import (
	"errors"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

// TestGet: a handler that nobody configured is the client's mistake; one that is configured and lacks something is
// the node's state, and the error says what it lacks.
func TestGet(t *testing.T) {
	runc := &Handler{Name: "runc"}
	s := &Set{byName: map[string]*Handler{"runc": runc}, defaultName: "runc", leftOut: map[string]error{"kata": errors.New("no shim")}}
	for _, name := range []string{"", "runc"} {
		if h, err := s.Get(name); h != runc {
			t.Errorf("%q: %v, %v", name, h, err)
		}
	}
	if _, err := s.Get("nosuch"); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), `is not configured; [runtime.handlers] has ["runc"]`) {
		t.Errorf("an unknown name: %v", err)
	}
	if _, err := s.Get("kata"); !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "no shim") || strings.Contains(err.Error(), "not configured") {
		t.Errorf("one that was left out: %v", err)
	}
	if l := s.LeftOut(); len(l) != 1 || l[0] != "pods of runtime handler kata are refused: no shim" {
		t.Errorf("left out: %q", l)
	}
}
