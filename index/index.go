// Package index keeps objects by ID in memory, for reads that must not leave
// the process: lookups by ID or unique prefix, and listing.
package index

import (
	"fmt"
	"sort"
	"strings"
	"sync"

	"github.com/containerd/errdefs"
)

// Index maps IDs to objects. The lock is never held over I/O.
type Index[T any] struct {
	kind string

	mu   sync.RWMutex
	byID map[string]T
}

// New makes an empty index; kind names the objects in errors ("container").
func New[T any](kind string) *Index[T] {
	return &Index[T]{kind: kind, byID: map[string]T{}}
}

// Put adds or replaces the object with this ID.
func (x *Index[T]) Put(id string, v T) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.byID[id] = v
}

// Delete removes the object with this ID; a missing one is no error.
func (x *Index[T]) Delete(id string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.byID, id)
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
	sort.Strings(found)
	return zero, fmt.Errorf("%s %q fits %d IDs, among them %.16s and %.16s: give more digits: %w",
		x.kind, idOrPrefix, len(found), found[0], found[1], errdefs.ErrInvalidArgument)
}

// List returns all objects, in no order.
func (x *Index[T]) List() []T {
	x.mu.RLock()
	defer x.mu.RUnlock()
	out := make([]T, 0, len(x.byID))
	for _, v := range x.byID {
		out = append(out, v)
	}
	return out
}

// Len is the number of objects.
func (x *Index[T]) Len() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.byID)
}
