package cni

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestQueueBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var at []time.Duration
		failures := 12
		q := NewQueue(func(context.Context, Attachment) error {
			at = append(at, time.Since(begin))
			if len(at) <= failures {
				return fmt.Errorf("failure %d", len(at))
			}
			return nil
		}, QueueOptions{FirstDelay: time.Second, MaxDelay: time.Minute})
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan struct{})
		go func() { defer close(ran); _ = q.Run(ctx) }()
		done := make(chan struct{})
		q.Add(Attachment{PodID: "a"}, func() { close(done) })
		synctest.Wait()
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if s := q.Stats(); s.Depth != 1 || s.Oldest != 30*time.Second || s.Attempts == 0 {
			t.Errorf("stats %+v", s)
		}
		if err := q.LastError("a"); err == nil {
			t.Error("no last error")
		}
		<-done
		synctest.Wait()
		if s := q.Stats(); s != (QueueStats{}) {
			t.Errorf("stats at the end %+v", s)
		}
		want, last := time.Second, time.Duration(0)
		for i, d := range at {
			if wait := d - last; wait > want || wait < want*3/4-1 {
				t.Errorf("attempt %d came after %v, want %v less at most a quarter", i+1, wait, want)
			}
			last = d
			want = min(2*want, time.Minute)
		}
		cancel()
		<-ran
	})
}

func TestQueueBoundsWorkAndJoinsDoubles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var working, most, calls atomic.Int32
		q := NewQueue(func(context.Context, Attachment) error {
			calls.Add(1)
			if n := working.Add(1); n > most.Load() {
				most.Store(n)
			}
			time.Sleep(time.Second)
			working.Add(-1)
			return nil
		}, QueueOptions{Workers: 3})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var dones sync.WaitGroup
		for i := range 20 { // before Run
			dones.Add(2)
			q.Add(Attachment{PodID: fmt.Sprint(i)}, dones.Done)
			q.Add(Attachment{PodID: fmt.Sprint(i)}, dones.Done)
		}
		go func() { _ = q.Run(ctx) }()
		dones.Wait()
		if calls.Load() != 20 || most.Load() != 3 {
			t.Errorf("%d calls, %d at once", calls.Load(), most.Load())
		}
	})
}

// One DEL that hangs leaves the others their turn; Run ends only when it has ended.
func TestQueueStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue(func(_ context.Context, att Attachment) error {
			if att.PodID == "hung" {
				time.Sleep(time.Hour)
			}
			return errors.New("no")
		}, QueueOptions{})
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan struct{})
		go func() { defer close(ran); _ = q.Run(ctx) }()
		q.Add(Attachment{PodID: "hung"}, nil)
		q.Add(Attachment{PodID: "fine"}, nil)
		time.Sleep(time.Minute)
		if q.LastError("fine") == nil {
			t.Error("the other DEL was not tried")
		}
		cancel()
		begin := time.Now()
		<-ran
		if time.Since(begin) < 50*time.Minute {
			t.Error("Run did not await the attempt under way")
		}
	})
}
