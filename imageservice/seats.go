package imageservice

import (
	"context"
	"sync"
	"time"
)

// A pull that works has a seat, and there are as many as Options.MaxConcurrentPulls. A seat is lost,
// while the pull goes on, when somebody waits and
//
//   - the pull got next to nothing from the network lately: it waits, for a registry or for
//     the unpacking, which has a bound of its own;
//   - or the pulls of its registry have at least two seats more than those of the registry of
//     whoever waits.
//
// So neither pulls that stall nor many pulls from one registry keep others from theirs.
const (
	// seatWindow is how long a pull is watched before it loses its seat for being slow.
	seatWindow = time.Second
	// seatFloor is what has to come within a window, in bytes.
	seatFloor = 64 << 10
)

// seat is the place of one pull among those that work.
type seat struct {
	domain string       // the registry
	bytes  func() int64 // what came over the network so far

	// Guarded by seats.mu.
	granted chan struct{} // closed with the seat
	since   time.Time     // of the window
	before  int64         // bytes at its beginning
}

// seats are those of all pulls. The zero value has no room.
type seats struct {
	room int
	now  func() time.Time // time.Now

	mu      sync.Mutex
	taken   map[*seat]bool
	waiting []*seat // oldest first
}

func newSeats(room int) *seats { return &seats{room: room, now: time.Now, taken: map[*seat]bool{}} }

// take waits for a seat; bytes tells what the pull got from the network so far. The seat is to be
// given back with leave.
func (s *seats) take(ctx context.Context, domain string, bytes func() int64) (*seat, error) {
	w := &seat{domain: domain, bytes: bytes, granted: make(chan struct{})}
	s.mu.Lock()
	s.waiting = append(s.waiting, w)
	s.mu.Unlock()
	for {
		s.assign()
		tick := time.NewTimer(seatWindow)
		select {
		case <-w.granted:
			tick.Stop()
			return w, nil
		case <-tick.C:
		case <-ctx.Done():
			tick.Stop()
			s.leave(w)
			return nil, context.Cause(ctx)
		}
	}
}

// leave gives a seat back, or ends the waiting for one.
func (s *seats) leave(w *seat) {
	s.mu.Lock()
	delete(s.taken, w)
	for i, other := range s.waiting {
		if other == w {
			s.waiting = append(s.waiting[:i:i], s.waiting[i+1:]...)
			break
		}
	}
	s.mu.Unlock()
	s.assign()
}

// assign gives seats to those who wait, the oldest first.
func (s *seats) assign() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting) == 0 {
		return
	}
	s.dropSlow()
	waiting := s.waiting[:0]
	for _, w := range s.waiting {
		if len(s.taken) < s.room || s.dropFor(w.domain) {
			w.since, w.before = s.now(), w.bytes()
			s.taken[w] = true
			close(w.granted)
			continue
		}
		waiting = append(waiting, w)
	}
	clear(s.waiting[len(waiting):])
	s.waiting = waiting
}

// dropSlow takes the seats of pulls that got too little in their window. A window that nobody
// looked at in time says nothing and begins anew.
func (s *seats) dropSlow() {
	now := s.now()
	for w := range s.taken {
		age := now.Sub(w.since)
		if age < seatWindow {
			continue
		}
		got := w.bytes()
		if age < 2*seatWindow && got-w.before < seatFloor {
			delete(s.taken, w)
			continue
		}
		w.since, w.before = now, got
	}
}

// dropFor takes a seat of the registry that has the most, if it has two more than this one, and
// reports whether it did.
func (s *seats) dropFor(domain string) bool {
	count := map[string]int{}
	most := domain
	for w := range s.taken {
		count[w.domain]++
	}
	for d, n := range count {
		if n > count[most] {
			most = d
		}
	}
	if count[most] < count[domain]+2 {
		return false
	}
	var loser *seat
	for w := range s.taken {
		if w.domain == most && (loser == nil || w.since.Before(loser.since)) {
			loser = w
		}
	}
	delete(s.taken, loser)
	return true
}
