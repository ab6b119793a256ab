package failpoint

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/containerd/errdefs"
)

// Env is the environment variable with the points that are armed from the start:
// POINT=ACTION, separated by semicolons.
const Env = "BERTH_FAILPOINTS"

// Set has the points of one daemon. A nil Set has no points and does nothing.
type Set struct {
	armed atomic.Pointer[map[string]*armed] // nil while nothing is armed

	mu    sync.Mutex
	known map[string]bool
	last  map[string]*armed // how each point was armed last, spent or not
}

// New makes a set that knows these points; none is armed.
func New(points []string) *Set {
	s := &Set{known: map[string]bool{}, last: map[string]*armed{}}
	for _, p := range points {
		s.known[p] = true
	}
	return s
}

// Points lists the points, sorted.
func (s *Set) Points() []string { return slices.Sorted(maps.Keys(s.known)) }

// Armed reports whether any point is armed, so that callers need not make up names.
func (s *Set) Armed() bool { return s != nil && s.armed.Load() != nil }

// Hit is called at a point. It returns nil unless the point is armed.
func (s *Set) Hit(ctx context.Context, point string) error {
	if !s.Armed() {
		return nil
	}
	t := s.take(point)
	if t == nil {
		return nil
	}
	return t.act(ctx)
}

// take counts a hit of an armed point.
func (s *Set) take(point string) *armed {
	s.mu.Lock()
	defer s.mu.Unlock()
	points := s.armed.Load()
	if points == nil {
		return nil
	}
	t := (*points)[point]
	if t == nil {
		return nil
	}
	if t.hits++; t.hits == 1 {
		close(t.hit)
	}
	if t.left--; t.left == 0 {
		s.replace(point, nil)
	}
	return t
}

// Arm makes an action happen at a point; it replaces what is armed there.
// A point that does not exist is errdefs.ErrNotFound.
func (s *Set) Arm(point string, a Action) error {
	if !s.known[point] {
		return fmt.Errorf("there is no failpoint %q: %w", point, errdefs.ErrNotFound)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.releaseHang(point)
	t := &armed{point: point, action: a, left: a.Times, hit: make(chan struct{}), release: make(chan struct{})}
	s.last[point] = t
	s.replace(point, t)
	return nil
}

// Disarm disarms a point. Operations that hang at the point go on.
func (s *Set) Disarm(point string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.releaseHang(point)
	s.replace(point, nil)
}

// DisarmAll disarms every point. Operations that hang at a point go on.
func (s *Set) DisarmAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for point := range s.last {
		s.releaseHang(point)
	}
	s.armed.Store(nil)
}

// Wait returns when a point that was armed is hit, or has been, or when ctx ends.
func (s *Set) Wait(ctx context.Context, point string) error {
	s.mu.Lock()
	t := s.last[point]
	s.mu.Unlock()
	if t == nil {
		return fmt.Errorf("failpoint %q has not been armed: %w", point, errdefs.ErrFailedPrecondition)
	}
	select {
	case <-t.hit:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// State of one point.
type State struct {
	// Armed is the action, "" when none is armed.
	Armed string `json:"armed,omitempty"`
	// Hits is how often the point was hit since it was armed last.
	Hits int `json:"hits,omitempty"`
}

// States of all points.
func (s *Set) States() map[string]State {
	s.mu.Lock()
	defer s.mu.Unlock()
	points := s.armed.Load()
	out := make(map[string]State, len(s.known))
	for point := range s.known {
		var st State
		if points != nil && (*points)[point] != nil {
			st.Armed = (*points)[point].action.String()
		}
		if t := s.last[point]; t != nil {
			st.Hits = t.hits
		}
		out[point] = st
	}
	return out
}

// ArmAll arms what [Env] says.
func (s *Set) ArmAll(text string) error {
	for entry := range strings.SplitSeq(text, ";") {
		if entry = strings.TrimSpace(entry); entry == "" {
			continue
		}
		point, action, _ := strings.Cut(entry, "=")
		a, err := ParseAction(action)
		if err == nil {
			err = s.Arm(point, a)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", Env, err)
		}
	}
	return nil
}

// releaseHang ends a Hang at a point. The caller holds s.mu.
func (s *Set) releaseHang(point string) {
	if t := s.last[point]; t != nil {
		select {
		case <-t.release:
		default:
			close(t.release)
		}
	}
}

// replace arms a point, or with nil disarms it. The caller holds s.mu.
func (s *Set) replace(point string, t *armed) {
	next := map[string]*armed{}
	if old := s.armed.Load(); old != nil {
		maps.Copy(next, *old)
	}
	delete(next, point)
	if t != nil {
		next[point] = t
	}
	if len(next) == 0 {
		s.armed.Store(nil)
		return
	}
	s.armed.Store(&next)
}
