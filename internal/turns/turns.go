// Package turns bounds how many operations work at the same time, without letting those that wait for
// something outside keep the others from working.
//
// A turn stands for work: of the processor, of runc, of the database. An operation that takes much
// longer than work does waits for something: a mount whose server does not answer, a CNI plugin, a process
// that the kernel does not end. It goes on, but its turn passes to the next after [Patience].
package turns

import (
	"context"
	"sync"
	"time"
)

// Patience is how long an operation keeps its turn. The work of a start takes a tenth of a second; on a machine
// that is so busy that work takes longer than this, more operations work at once than were meant to.
const Patience = 10 * time.Second

// Turns are a number of turns; nil are any number.
type Turns struct {
	free     chan struct{}
	patience time.Duration
}

// New makes n turns; 0 means any number.
func New(n int) *Turns { return newTurns(n, Patience) }

func newTurns(n int, patience time.Duration) *Turns {
	if n <= 0 {
		return nil
	}
	return &Turns{make(chan struct{}, n), patience}
}

// Take waits for a turn until ctx ends; the error is then ctx's. The operation calls giveBack at its end, however
// long it took.
func (t *Turns) Take(ctx context.Context) (giveBack func(), err error) {
	if t == nil {
		return func() {}, nil
	}
	select {
	case t.free <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	back := sync.OnceFunc(func() { <-t.free })
	late := time.AfterFunc(t.patience, back)
	return func() { late.Stop(); back() }, nil
}
