package service

import (
	"context"
	"time"

	"github.com/berth-run/berth/shim/taskapi"
	"github.com/berth-run/berth/shim/ttrpc"
)

const (
	publishQueue   = 256
	publishTimeout = 5 * time.Second
)

// publisher sends task events to containerd, for `ctr events` and whoever else listens there. It
// never blocks and never retries for long: nothing of Berth depends on these events, and a daemon
// that is away must not hold up a container.
type publisher struct {
	namespace, address string
	queue              chan published
}

type published struct {
	taskapi.Event
	at time.Time
}

// newPublisher publishes to the TTRPC socket at address; empty: to nobody.
func newPublisher(ctx context.Context, namespace, address string) *publisher {
	p := &publisher{namespace: namespace, address: address, queue: make(chan published, publishQueue)}
	if address != "" {
		go p.run(ctx)
	}
	return p
}

// publish queues the event; one that finds the queue full is dropped.
func (p *publisher) publish(e taskapi.Event) {
	if p.address == "" {
		return
	}
	select {
	case p.queue <- published{e, time.Now()}:
	default:
		logf("containerd does not take events; dropped one of %s", e.Topic)
	}
}

func (p *publisher) run(ctx context.Context) {
	for {
		select {
		case e := <-p.queue:
			p.burst(e)
		case <-ctx.Done():
			return
		}
	}
}

// burst sends an event and what is queued behind it over one connection.
func (p *publisher) burst(e published) {
	ctx, cancel := context.WithTimeout(context.Background(), publishTimeout)
	defer cancel()
	conn, err := ttrpc.Dial(ctx, p.address)
	if err != nil {
		debugf("containerd did not take an event of %s: %v", e.Topic, err)
		return
	}
	defer conn.Close()
	for {
		_, err := conn.Call(ctx, ttrpc.Request{
			Service: taskapi.EventsService, Method: taskapi.EventsForward,
			Namespace: p.namespace, Payload: e.Forward(p.namespace, e.at),
		})
		if err != nil {
			debugf("containerd did not take an event of %s: %v", e.Topic, err)
			return
		}
		select {
		case e = <-p.queue:
		default:
			return
		}
	}
}

// flush sends what is queued, within a bound.
func (p *publisher) flush() {
	if p.address == "" {
		return
	}
	select {
	case e := <-p.queue:
		p.burst(e)
	default:
	}
}
