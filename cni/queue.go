package cni

import (
	"context"
	"time"
)

// Queue retries DELs that failed, in the background, until they succeed. It keeps nothing
// on disk: the pods' records do, and whoever loads them adds what is still to be done.
type Queue struct{}

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

// NewQueue makes a queue that calls detach, usually [Manager.Detach].
func NewQueue(detach func(context.Context, Attachment) error, opts QueueOptions) *Queue {
	panic("not built yet")
}

// Run works until ctx is done; attempts under way are awaited.
func (q *Queue) Run(ctx context.Context) error { panic("not built yet") }

// Add queues an attachment; done, which may be nil, is called once when the DEL succeeded.
// A pod that is already there is not added twice: its done is called as well.
func (q *Queue) Add(att Attachment, done func()) { panic("not built yet") }

// Stats never waits for a DEL.
func (q *Queue) Stats() QueueStats { panic("not built yet") }

// LastError is the last failure for a pod in the queue, nil if there is none.
func (q *Queue) LastError(podID string) error { panic("not built yet") }
