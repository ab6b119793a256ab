package lifecycle

import (
	"context"
	"time"

	"github.com/containerd/errdefs"
)

// settlePause is how often the database is asked again that gave no answer.
const settlePause = 500 * time.Millisecond

// Lookup asks the database for the record with an ID. errdefs.ErrNotFound says that there is none; any other error
// says nothing.
type Lookup func(ctx context.Context, id string) error

// Recorded reports whether there may be a record with the ID: the database has one, or gave no answer.
func (l Lookup) Recorded(ctx context.Context, id string) bool { return !errdefs.IsNotFound(l(ctx, id)) }

// Settle makes an object go that could not be made while the database was away: nobody knows whether its record was
// written. It asks until the database answers, and calls gone when there is no record. It ends early when
// open reports that the object has been dealt with otherwise, or when ctx ends.
func Settle(ctx context.Context, id string, look Lookup, open func() bool, gone func()) {
	for ctx.Err() == nil && open() {
		err := look(ctx, id)
		switch {
		case errdefs.IsNotFound(err):
			gone()
			return
		case err == nil:
			return
		}
		select {
		case <-time.After(settlePause):
		case <-ctx.Done():
		}
	}
}
