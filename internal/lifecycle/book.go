package lifecycle

import (
	"sync"

	"github.com/berth-run/berth/internal/index"
)

// Object is what a [Book] holds: a pointer to a pod or a container.
type Object interface {
	comparable
	// RecordID is the ID of the object and of its record. It never changes.
	RecordID() string
	// RequestKey identifies the request that the object was made for: a retry has the same key. It never changes.
	RequestKey() string
}

// Book holds objects by ID and by the key of their request. Its locks are never held over I/O.
type Book[T Object] struct {
	byID *index.Index[T]

	mu    sync.Mutex
	byKey map[string]T
}

// NewBook makes an empty book. kind names the objects in errors ("container"); order compares two objects by what
// does not change, and is the order of lists.
func NewBook[T Object](kind string, order func(a, b T) int) *Book[T] {
	return &Book[T]{byID: index.New(kind, order), byKey: map[string]T{}}
}

// Add makes an object known. An object with the same key is no longer found by it.
func (b *Book[T]) Add(o T) {
	b.mu.Lock()
	b.byKey[o.RequestKey()] = o
	b.mu.Unlock()
	b.byID.Put(o.RecordID(), o)
}

// Forget makes an object unknown. The key of its request stays with another object that has it by now.
func (b *Book[T]) Forget(o T) {
	b.mu.Lock()
	if k := o.RequestKey(); b.byKey[k] == o {
		delete(b.byKey, k)
	}
	b.mu.Unlock()
	b.byID.Delete(o.RecordID())
}

// Get finds an object by its ID or by a prefix that only one ID has. No match is errdefs.ErrNotFound; an empty or
// ambiguous prefix is errdefs.ErrInvalidArgument.
func (b *Book[T]) Get(idOrPrefix string) (T, error) { return b.byID.Get(idOrPrefix) }

// For finds the object that was made for a request.
func (b *Book[T]) For(requestKey string) (o T, found bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	o, found = b.byKey[requestKey]
	return o, found
}

// List returns all objects in their order. All callers get the same list: it is not to be changed.
func (b *Book[T]) List() []T { return b.byID.List() }

// Len is the number of objects.
func (b *Book[T]) Len() int { return b.byID.Len() }
