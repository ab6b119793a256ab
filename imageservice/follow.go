package imageservice

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	eventtypes "github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/typeurl/v2"
	"k8s.io/klog/v2"
)

// syncTopic carries the marks with which a subscription is found to be active.
const syncTopic = "/berth/images/sync"

// Times of the follower.
const (
	subscribeTimeout = 10 * time.Second
	markInterval     = 50 * time.Millisecond
	maxBackoff       = 10 * time.Second
)

// follower keeps the index in step with image records that others change.
type follower struct {
	s      *Service
	cancel context.CancelFunc
	events <-chan *events.Envelope
	errs   <-chan error
}

// start subscribes and goes on in the background.
func (f *follower) start(ctx context.Context) error {
	if err := f.subscribe(ctx); err != nil {
		return err
	}
	f.s.wg.Add(1)
	go func() {
		defer f.s.wg.Done()
		f.run(f.s.ctx)
	}()
	return nil
}

// subscribe opens a subscription and returns when it is known to be active: a
// remote one is only some time after the call. It sends itself marks until one
// comes back.
func (f *follower) subscribe(ctx context.Context) error {
	sctx, cancel := context.WithCancel(f.s.ctx)
	ns := fmt.Sprintf("namespace==%s", f.s.opts.Namespace)
	es := f.s.client.EventService()
	ch, errs := es.Subscribe(sctx, ns+`,topic~="^/images/"`, ns+`,topic=="`+syncTopic+`"`)
	ctx, stop := context.WithTimeout(ctx, subscribeTimeout)
	defer stop()
	mark := rand.Text()
	tick := time.NewTicker(markInterval)
	defer tick.Stop()
	if err := es.Publish(ctx, syncTopic, &eventtypes.ImageUpdate{Name: mark}); err != nil {
		cancel()
		return err
	}
	for {
		select {
		case e := <-ch:
			if nameOf(e) == mark {
				f.cancel, f.events, f.errs = cancel, ch, errs
				return nil
			}
		case err := <-errs:
			cancel()
			return errors.Join(errors.New("the event stream ended"), err)
		case <-tick.C:
			if err := es.Publish(ctx, syncTopic, &eventtypes.ImageUpdate{Name: mark}); err != nil {
				cancel()
				return err
			}
		case <-ctx.Done():
			cancel()
			return fmt.Errorf("no event came back within %s: %w", subscribeTimeout, ctx.Err())
		}
	}
}

// run follows events until ctx ends, subscribing anew when the stream breaks.
func (f *follower) run(ctx context.Context) {
	log := klog.FromContext(ctx)
	for {
		err := f.follow(ctx)
		f.cancel()
		if ctx.Err() != nil {
			return
		}
		log.Error(err, "Image event stream ended, subscribing again")
		if !f.resubscribe(ctx) {
			return
		}
	}
}

// follow applies events until the stream ends.
func (f *follower) follow(ctx context.Context) error {
	for {
		select {
		case e := <-f.events:
			if e == nil {
				return errors.New("closed")
			}
			f.apply(ctx, e)
		case err := <-f.errs:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// apply brings the index up to date with one event. The event only says which
// record to look at: the store has the truth.
func (f *follower) apply(ctx context.Context, e *events.Envelope) {
	name := nameOf(e)
	if name == "" || e.Topic == syncTopic {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if err := f.s.refreshName(ctx, name); err != nil {
		klog.FromContext(ctx).Error(err, "Image index is behind", "image", name)
	}
}

// resubscribe tries until it works, then makes up for what was missed. False
// when ctx ended.
func (f *follower) resubscribe(ctx context.Context) bool {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, maxBackoff) {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return false
		}
		err := f.subscribe(ctx)
		if err == nil {
			if err = f.s.rescan(ctx); err == nil {
				return true
			}
			f.cancel()
		}
		if ctx.Err() != nil {
			return false
		}
		klog.FromContext(ctx).V(2).Info("Image events are not available", "err", err, "retryIn", wait)
	}
}

// nameOf returns the record that an image event is about, or "".
func nameOf(e *events.Envelope) string {
	if e == nil || e.Event == nil {
		return ""
	}
	v, err := typeurl.UnmarshalAny(e.Event)
	if err != nil {
		return ""
	}
	switch v := v.(type) {
	case *eventtypes.ImageCreate:
		return v.Name
	case *eventtypes.ImageUpdate:
		return v.Name
	case *eventtypes.ImageDelete:
		return v.Name
	}
	return ""
}
