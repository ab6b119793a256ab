package imageservice

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"
)

// keyLock serialises work by key, across pulls: a layer that two images share is
// downloaded once.
type keyLock struct {
	mu    sync.Mutex
	locks map[string]*countedLock
}

type countedLock struct {
	sem   *semaphore.Weighted
	users int
}

func newKeyLock() *keyLock { return &keyLock{locks: map[string]*countedLock{}} }

// Lock waits for the key, or until ctx ends.
func (k *keyLock) Lock(ctx context.Context, key string) error {
	k.mu.Lock()
	l := k.locks[key]
	if l == nil {
		l = &countedLock{sem: semaphore.NewWeighted(1)}
		k.locks[key] = l
	}
	l.users++
	k.mu.Unlock()
	err := l.sem.Acquire(ctx, 1)
	if err != nil {
		k.leave(key, l)
	}
	return err
}

// Unlock gives the key back.
func (k *keyLock) Unlock(key string) {
	k.mu.Lock()
	l := k.locks[key]
	k.mu.Unlock()
	if l == nil {
		panic("imageservice: unlock of unlocked key " + key)
	}
	l.sem.Release(1)
	k.leave(key, l)
}

func (k *keyLock) leave(key string, l *countedLock) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if l.users--; l.users == 0 {
		delete(k.locks, key)
	}
}

// lockScope is a part of the keys that is apart from all others. It implements containerd's
// unpack.KeyedLocker.
type lockScope struct {
	locks *keyLock
	name  string
}

// Lock implements unpack.KeyedLocker.
func (s lockScope) Lock(ctx context.Context, key string) error {
	return s.locks.Lock(ctx, s.name+" "+key)
}

// Unlock implements unpack.KeyedLocker.
func (s lockScope) Unlock(key string) { s.locks.Unlock(s.name + " " + key) }
