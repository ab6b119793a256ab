package metrics

import (
	"context"
	"errors"
	"sync"

	"github.com/containerd/errdefs"
)

// other stands for all label values beyond the bound.
const other = "other"

// boundedLabel keeps the values of a label, which others choose (a registry's host name),
// from making series without end: the first max values are kept, the rest is "other".
type boundedLabel struct {
	max  int
	mu   sync.Mutex
	seen map[string]struct{}
}

func newBoundedLabel(most int) *boundedLabel {
	return &boundedLabel{max: most, seen: map[string]struct{}{}}
}

func (b *boundedLabel) value(v string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.seen[v]; ok {
		return v
	}
	if len(b.seen) >= b.max {
		return other
	}
	b.seen[v] = struct{}{}
	return v
}

// result is the label value of an outcome.
func result(err error) string {
	switch {
	case err == nil:
		return "success"
	case errors.Is(err, context.DeadlineExceeded) || errdefs.IsDeadlineExceeded(err):
		return "timeout"
	case errors.Is(err, context.Canceled):
		return "canceled"
	}
	return "error"
}
