package cni

import (
	"context"
	"sync"
)

// keyLock is a lock per key. A waiter can give up.
type keyLock struct {
	mu    sync.Mutex
	holds map[string]*hold
}

type hold struct {
	slot  chan struct{} // holds one token while the key is locked
	users int
}

func (k *keyLock) lock(ctx context.Context, key string) (unlock func(), err error) {
	k.mu.Lock()
	if k.holds == nil {
		k.holds = map[string]*hold{}
	}
	h := k.holds[key]
	if h == nil {
		h = &hold{slot: make(chan struct{}, 1)}
		k.holds[key] = h
	}
	h.users++
	k.mu.Unlock()
	select {
	case h.slot <- struct{}{}:
		return func() { k.unlock(key) }, nil
	default:
	}
	select {
	case h.slot <- struct{}{}:
		return func() { k.unlock(key) }, nil
	case <-ctx.Done():
		k.leave(key, h)
		return nil, ctx.Err()
	}
}

func (k *keyLock) unlock(key string) {
	k.mu.Lock()
	h := k.holds[key]
	k.mu.Unlock()
	<-h.slot
	k.leave(key, h)
}

func (k *keyLock) leave(key string, h *hold) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if h.users--; h.users == 0 {
		delete(k.holds, key)
	}
}
