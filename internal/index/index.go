// Package index keeps objects by ID in memory, for reads that must not leave
// the process: lookups by ID or unique prefix, and listing.
package index

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/errdefs"
)

// Index maps IDs to objects. The lock is never held over I/O.
type Index[T any] struct {
	kind  string
	order func(a, b T) int

	mu   sync.RWMutex
	byID map[string]T
	list []T // what List returns, nil when it has to be made anew
}

// New makes an empty index; kind names the objects in errors ("container"), order compares two of
// them by what does not change.
func New[T any](kind string, order func(a, b T) int) *Index[T] {
	return &Index[T]{kind: kind, order: order, byID: map[string]T{}}
}

// Put adds or replaces the object with this ID.
func (x *Index[T]) Put(id string, v T) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.byID[id], x.list = v, nil
}

// Delete removes the object with this ID; a missing one is no error.
func (x *Index[T]) Delete(id string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.byID, id)
	x.list = nil
}

// Get finds by full ID or by a prefix that only one ID has. No match is
// errdefs.ErrNotFound; an empty or ambiguous one is errdefs.ErrInvalidArgument.
func (x *Index[T]) Get(idOrPrefix string) (T, error) {
	var zero T
	if idOrPrefix == "" {
		return zero, fmt.Errorf("%s ID is empty: %w", x.kind, errdefs.ErrInvalidArgument)
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	if v, ok := x.byID[idOrPrefix]; ok {
		return v, nil
	}
	var found []string
	for id := range x.byID {
		if strings.HasPrefix(id, idOrPrefix) {
			found = append(found, id)
		}
	}
	switch len(found) {
	case 1:
		return x.byID[found[0]], nil
	case 0:
		return zero, fmt.Errorf("%s %q: %w", x.kind, idOrPrefix, errdefs.ErrNotFound)
	}
	slices.Sort(found)
	return zero, fmt.Errorf("%s %q fits %d IDs, among them %.16s and %.16s: give more digits: %w",
		x.kind, idOrPrefix, len(found), found[0], found[1], errdefs.ErrInvalidArgument)
}

// List returns all objects in their order. All callers get the same list: it is not to be changed.
func (x *Index[T]) List() []T {
	x.mu.RLock()
	list := x.list
	x.mu.RUnlock()
	if list != nil {
		return list
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.list == nil {
		x.list = slices.AppendSeq(make([]T, 0, len(x.byID)), maps.Values(x.byID))
		slices.SortFunc(x.list, x.order)
	}
	return x.list
}

// Len is the number of objects.
func (x *Index[T]) Len() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.byID)
}
