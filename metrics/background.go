package metrics

import (
	"context"
	"sync"
	"time"

	"k8s.io/klog/v2"
)

// share is the part of a processor that one figure may cost: one that took a second to
// get is asked for again 20 seconds later at the earliest.
const share = 20

// backgroundOptions bound the work of a background.
type backgroundOptions struct {
	// what the figures are, for the log.
	what string
	// maxAge is the age from which a figure is got anew when somebody asks for it.
	maxAge time.Duration
	// parallel bounds the work under way at once, timeout a single one.
	parallel int
	timeout  time.Duration
	// share replaces the one above where getting a figure is waiting rather than work.
	share int
}

// background gets figures that may be slow, so that no caller ever waits for one: Get
// answers what is known and has it renewed when it is old. Its goroutines live only
// while there is something to do.
type background[K comparable, V any] struct {
	get    func(context.Context, K) (V, error)
	opts   backgroundOptions
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	entries map[K]*entry[V]
	queue   []K // each at most once
	workers int
	closed  bool
}

// entry is what is known of one key. queued lasts from the request to the end of the work.
type entry[V any] struct {
	value  V
	began  time.Time // of the work that gave it
	at     time.Time // zero until the first success
	queued bool
	primed bool // the work under way was not asked for by anybody who takes its value
	next   time.Time
}

func newBackground[K comparable, V any](get func(context.Context, K) (V, error), opts backgroundOptions) *background[K, V] {
	if opts.share == 0 {
		opts.share = share
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &background[K, V]{get: get, opts: opts, ctx: ctx, cancel: cancel, entries: map[K]*entry[V]{}}
}

// Get gives the last value and when it was got, the zero time for none yet.
func (b *background[K, V]) Get(k K) (V, time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.entries[k]
	if e == nil {
		e = &entry[V]{}
		b.entries[k] = e
	}
	if !e.queued && !time.Now().Before(e.next) {
		b.enqueue(k, e)
	}
	return e.value, e.at
}

// Prime gets the first value of a key before anybody asks for it; the first Get has it renewed.
func (b *background[K, V]) Prime(k K) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.entries[k] != nil {
		return
	}
	e := &entry[V]{primed: true}
	b.entries[k] = e
	b.enqueue(k, e)
}

// enqueue has the value of k got; b.mu is held.
func (b *background[K, V]) enqueue(k K, e *entry[V]) {
	if b.closed {
		return
	}
	e.queued = true
	b.queue = append(b.queue, k)
	if b.workers < b.opts.parallel {
		b.workers++
		b.wg.Go(b.work)
	}
}

// known is Get without having anything renewed. It also tells when the work began.
func (b *background[K, V]) known(k K) (v V, began, at time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.entries[k]; e != nil {
		return e.value, e.began, e.at
	}
	return v, began, at
}

// work does what is queued and ends with the queue.
func (b *background[K, V]) work() {
	for {
		b.mu.Lock()
		if len(b.queue) == 0 {
			b.workers--
			b.mu.Unlock()
			return
		}
		k := b.queue[0]
		b.queue = b.queue[1:]
		b.mu.Unlock()
		b.one(k)
	}
}

// one gets a value. Where that fails the last one stays, whose age shows it.
func (b *background[K, V]) one(k K) {
	ctx, cancel := context.WithTimeout(b.ctx, b.opts.timeout)
	defer cancel()
	start := time.Now()
	v, err := b.get(ctx, k)
	end := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.entries[k]
	if e == nil {
		return // forgotten meanwhile
	}
	e.queued = false
	if !e.primed {
		e.next = end.Add(max(b.opts.maxAge, time.Duration(b.opts.share)*end.Sub(start)))
	}
	e.primed = false
	if err == nil {
		e.value, e.began, e.at = v, start, end
	} else if b.ctx.Err() == nil {
		klog.V(3).InfoS("Could not get figures", "of", b.opts.what, "key", k, "err", err)
	}
}

// Forget drops what is known of a key.
func (b *background[K, V]) Forget(k K) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.entries, k)
}

// prune drops keys that nothing has any more.
func (b *background[K, V]) prune(live map[K]bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for k, e := range b.entries {
		if !live[k] && !e.queued {
			delete(b.entries, k)
		}
	}
}

// Close stops the work and waits until there is none.
func (b *background[K, V]) Close() {
	b.mu.Lock()
	b.closed, b.queue = true, nil
	b.mu.Unlock()
	b.cancel()
	b.wg.Wait()
}
