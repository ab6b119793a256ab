package lifecycle

import (
	"context"
	"sync"
)

// State is the record of one object as it is in memory, and the lock of whatever else of the object changes. The lock
// is never held over I/O: reads do not wait for the database.
type State[R any] struct {
	// writing is held while the record is written, so that writers do not overtake each other.
	writing sync.Mutex

	mu     sync.RWMutex
	record R
}

// Init sets the record of an object that nobody else knows yet.
func (s *State[R]) Init(r R) { s.record = r }

// Read calls fn with the record, which fn must not change or keep.
func (s *State[R]) Read(fn func(r *R)) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	fn(&s.record)
}

// Copy gives a copy of the record. What the record points to is shared.
func (s *State[R]) Copy() R {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.record
}

// Change changes the record in memory only, and whatever else of the object fn changes.
func (s *State[R]) Change(fn func(r *R)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fn(&s.record)
}

// Save writes the record as it is after change to the database, and then changes it in memory. After an error it is
// unchanged in memory. change is called twice and has to do the same each time. It replaces maps and slices of the record
// and does not write into them, because readers share them.
func (s *State[R]) Save(ctx context.Context, write func(context.Context, *R) error, change func(*R)) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	r := s.Copy()
	change(&r)
	if err := write(ctx, &r); err != nil {
		return err
	}
	s.Change(change)
	return nil
}
