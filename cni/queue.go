package cni

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
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
	// Since, when set, says since when the DEL of a pod that is added has been owed; zero is now.
	Since func(podID string) time.Time
	// GiveUpAfter is how long after that a DEL that goes on failing is given up by GiveUp; 0 is never.
	GiveUpAfter time.Duration
	GiveUp      func(ctx context.Context, att Attachment, last error) error
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

// Owed is an attachment in the queue.
type Owed struct {
	Attachment Attachment
	// Since is when a DEL failed for the first time.
	Since time.Time
	// Attempts is how many failed since this daemon's start, LastError the failure of the last one.
	Attempts  int
	LastError error
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
		if q.opts.Since != nil {
			if since := q.opts.Since(att.PodID); !since.IsZero() && since.Before(now) {
				item.added = since
			}
		}
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
	if err != nil && q.opts.GiveUpAfter > 0 && time.Since(item.added) >= q.opts.GiveUpAfter && ctx.Err() == nil {
		err = q.opts.GiveUp(ctx, item.att, err)
	}
	q.mu.Lock()
	q.working--
	item.working, item.err = false, err
	attempt := item.attempts + 1
	var done []func()
	if err == nil {
		if q.items[item.att.PodID] == item { // else Drop has called done
			delete(q.items, item.att.PodID)
			done = item.done
		}
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

// Owed lists the queue, the oldest first. It never waits for a DEL.
func (q *Queue) Owed() []Owed {
	q.mu.Lock()
	defer q.mu.Unlock()
	list := make([]Owed, 0, len(q.items))
	for _, item := range q.items {
		list = append(list, Owed{item.att, item.added, item.attempts, item.err})
	}
	slices.SortFunc(list, func(a, b Owed) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Attachment.PodID, b.Attachment.PodID))
	})
	return list
}

// Owes reports whether the pod is in the queue.
func (q *Queue) Owes(podID string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.items[podID] != nil
}

// Drop takes a pod out of the queue as if its DEL had succeeded, and reports whether it was there.
func (q *Queue) Drop(podID string) bool {
	q.mu.Lock()
	item := q.items[podID]
	delete(q.items, podID)
	q.mu.Unlock()
	if item == nil {
		return false
	}
	for _, f := range item.done {
		f()
	}
	return true
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
