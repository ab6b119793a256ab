package cni

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// Queue retries DELs that failed, in the background, until they succeed. It keeps nothing
// on disk: the pods' records do, and whoever loads them adds what is still to be done.
type Queue struct {
	detach func(context.Context, Attachment) error
	opts   QueueOptions
	wake   chan struct{}

	mu      sync.Mutex
	items   map[string]*queueItem
	working int
}

// QueueOptions configures a [Queue]; zero values mean the defaults.
type QueueOptions struct {
	// Workers is how many DELs run at the same time. Default 2.
	Workers int
	// FirstDelay is the wait before the first retry (default 1 s); it doubles up to MaxDelay
	// (default 5 min). Each wait is shortened at random by up to a quarter.
	FirstDelay, MaxDelay time.Duration
	// OnAttempt, when set, is called after each attempt.
	OnAttempt func(att Attachment, attempt int, err error)
}

// QueueStats is a picture of the queue, for gauges.
type QueueStats struct {
	// Depth is the number of attachments waiting or in work.
	Depth int
	// Oldest is how long the oldest of them has been there.
	Oldest time.Duration
	// Attempts is the number of failed attempts of those still in the queue.
	Attempts int
}

type queueItem struct {
	att      Attachment
	done     []func()
	added    time.Time
	due      time.Time
	working  bool
	attempts int
	err      error
}

// NewQueue makes a queue that calls detach, usually [Manager.Detach].
func NewQueue(detach func(context.Context, Attachment) error, opts QueueOptions) *Queue {
	setDefault(&opts.Workers, 2)
	setDefault(&opts.FirstDelay, time.Second)
	setDefault(&opts.MaxDelay, 5*time.Minute)
	return &Queue{detach: detach, opts: opts, wake: make(chan struct{}, 1), items: map[string]*queueItem{}}
}

// Add queues an attachment; done, which may be nil, is called once when the DEL succeeded.
// A pod that is already there is not added twice: its done is called as well.
func (q *Queue) Add(att Attachment, done func()) {
	q.mu.Lock()
	item := q.items[att.PodID]
	if item == nil {
		now := time.Now()
		item = &queueItem{att: att, added: now, due: now.Add(q.delay(0))}
		q.items[att.PodID] = item
	}
	if done != nil {
		item.done = append(item.done, done)
	}
	q.mu.Unlock()
	q.signal()
}

// Run works until ctx is done; attempts under way are awaited.
func (q *Queue) Run(ctx context.Context) error {
	var attempts sync.WaitGroup
	defer attempts.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		item, wait := q.next(time.Now())
		if item != nil {
			attempts.Go(func() { q.attempt(ctx, item) })
			continue
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
		case <-q.wake:
		case <-timer.C:
		}
	}
	return nil
}

// next takes the item that is due first, or says how long to wait for one.
func (q *Queue) next(now time.Time) (*queueItem, time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.working >= q.opts.Workers {
		return nil, time.Hour // the end of an attempt wakes
	}
	var first *queueItem
	for _, item := range q.items {
		if !item.working && (first == nil || item.due.Before(first.due)) {
			first = item
		}
	}
	if first == nil {
		return nil, time.Hour // Add wakes
	}
	if wait := first.due.Sub(now); wait > 0 {
		return nil, wait
	}
	first.working = true
	q.working++
	return first, 0
}

func (q *Queue) attempt(ctx context.Context, item *queueItem) {
	err := q.detach(ctx, item.att)
	q.mu.Lock()
	q.working--
	item.working, item.err = false, err
	attempt := item.attempts + 1
	var done []func()
	if err == nil {
		delete(q.items, item.att.PodID)
		done = item.done
	} else {
		item.attempts = attempt
		item.due = time.Now().Add(q.delay(attempt))
	}
	q.mu.Unlock()
	if q.opts.OnAttempt != nil {
		q.opts.OnAttempt(item.att, attempt, err)
	}
	for _, f := range done {
		f()
	}
	q.signal()
}

// delay is the wait after so many failed attempts.
func (q *Queue) delay(attempts int) time.Duration {
	d := q.opts.FirstDelay
	for ; attempts > 0 && d < q.opts.MaxDelay; attempts-- {
		d *= 2
	}
	d = min(d, q.opts.MaxDelay)
	return d - rand.N(d/4+1)
}

func (q *Queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// Stats never waits for a DEL.
func (q *Queue) Stats() QueueStats {
	q.mu.Lock()
	defer q.mu.Unlock()
	stats := QueueStats{Depth: len(q.items)}
	for _, item := range q.items {
		stats.Oldest = max(stats.Oldest, time.Since(item.added))
		stats.Attempts += item.attempts
	}
	return stats
}

// LastError is the last failure for a pod in the queue, nil if there is none.
func (q *Queue) LastError(podID string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if item := q.items[podID]; item != nil {
		return item.err
	}
	return nil
}
