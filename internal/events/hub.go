// Package events distributes what happens to pods and containers to subscribers
// (CRI GetContainerEvents).
//
// Publishing never waits. A subscriber that falls behind is told so and has to
// start over from a list, since an event that is silently left out would be worse
// than none.
package events

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// backlog is how many events a subscriber may be behind.
const backlog = 1024

// Event is an event as the CRI sends it.
type Event = runtimeapi.ContainerEventResponse

// Hub passes events on. The zero value is ready for use.
type Hub struct {
	mu      sync.Mutex
	subs    map[*subscription]struct{}
	count   atomic.Int64
	dropped atomic.Uint64
}

type subscription struct {
	events chan *Event
	missed chan struct{} // closed when an event did not fit
}

// Publish passes an event to all subscribers. make is only called when there is
// one; it must not block.
func (h *Hub) Publish(make func() *Event) {
	if h.count.Load() == 0 {
		return
	}
	e := make()
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.subs {
		select {
		case s.events <- e:
		default:
			h.dropped.Add(1)
			delete(h.subs, s)
			h.count.Add(-1)
			close(s.missed)
		}
	}
}

// Subscribe calls send for every event from now on, until ctx ends (nil), send
// fails, or the subscriber has fallen behind (errdefs.ErrDataLoss: list everything
// and subscribe again). What was queued before that is still sent.
func (h *Hub) Subscribe(ctx context.Context, send func(*Event) error) error {
	s := &subscription{events: make(chan *Event, backlog), missed: make(chan struct{})}
	h.mu.Lock()
	if h.subs == nil {
		h.subs = map[*subscription]struct{}{}
	}
	h.subs[s] = struct{}{}
	h.count.Add(1)
	h.mu.Unlock()
	defer h.leave(s)
	for {
		select {
		case e := <-s.events:
			if err := send(e); err != nil {
				return err
			}
			continue
		default:
		}
		select {
		case e := <-s.events:
			if err := send(e); err != nil {
				return err
			}
		case <-s.missed:
			return fmt.Errorf("the subscriber is more than %d events behind and has missed some: list pods and containers, then subscribe again: %w", backlog, errdefs.ErrDataLoss)
		case <-ctx.Done():
			return nil
		}
	}
}

func (h *Hub) leave(s *subscription) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.subs[s]; ok {
		delete(h.subs, s)
		h.count.Add(-1)
	}
}

// Subscribers is how many there are.
func (h *Hub) Subscribers() int { return int(h.count.Load()) }

// Dropped counts the subscribers that were cut off for being behind.
func (h *Hub) Dropped() uint64 { return h.dropped.Load() }
