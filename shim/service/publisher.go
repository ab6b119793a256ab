package service

import (
	"context"
	"sync"
	"time"

	eventstypes "github.com/containerd/containerd/api/events"
	v1 "github.com/containerd/containerd/api/services/ttrpc/events/v1"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/protobuf"
	"github.com/containerd/containerd/v2/pkg/ttrpcutil"
	"github.com/containerd/log"
	"github.com/containerd/typeurl/v2"
)

const (
	publishQueue   = 256
	publishTimeout = 5 * time.Second
)

// publisher sends task events to containerd, for `ctr events` and whoever else listens there. It
// never blocks and never retries for long: nothing of Berth depends on these events, and a daemon
// that is away must not hold up a container. OOM events are noted on the way.
type publisher struct {
	namespace string
	onOOM     func(id string)
	client    *ttrpcutil.Client // nil: nobody to publish to
	queue     chan *types.Envelope
	stop      chan struct{}
	closing   sync.Once
}

func newPublisher(namespace, address string) (*publisher, error) {
	p := &publisher{
		namespace: namespace, onOOM: func(string) {},
		queue: make(chan *types.Envelope, publishQueue), stop: make(chan struct{}),
	}
	if address == "" {
		return p, nil
	}
	var err error
	if p.client, err = ttrpcutil.NewClient(address); err != nil {
		return nil, err
	}
	go p.run()
	return p, nil
}

// Publish queues the event; one that finds the queue full is dropped.
func (p *publisher) Publish(ctx context.Context, topic string, event events.Event) error {
	if e, ok := event.(*eventstypes.TaskOOM); ok {
		p.onOOM(e.ContainerID)
	}
	if p.client == nil {
		return nil
	}
	a, err := typeurl.MarshalAnyToProto(event)
	if err != nil {
		return err
	}
	e := &types.Envelope{Timestamp: protobuf.ToTimestamp(time.Now()), Namespace: p.namespace, Topic: topic, Event: a}
	select {
	case p.queue <- e:
	default:
		log.G(ctx).WithField("topic", topic).Warn("containerd does not take events; dropped one")
	}
	return nil
}

// Close stops sending, after what is queued.
func (p *publisher) Close() error {
	p.closing.Do(func() { close(p.stop) })
	return nil
}

func (p *publisher) run() {
	defer p.client.Close()
	for {
		select {
		case e := <-p.queue:
			p.send(e)
		case <-p.stop:
			for {
				select {
				case e := <-p.queue:
					p.send(e)
				default:
					return
				}
			}
		}
	}
}

// send tries twice: the first may find the connection to a former daemon.
func (p *publisher) send(e *types.Envelope) {
	err := p.forward(e)
	if err != nil {
		if err = p.client.Reconnect(); err == nil {
			err = p.forward(e)
		}
	}
	if err != nil {
		log.L.WithError(err).WithField("topic", e.Topic).Debug("containerd did not take an event")
	}
}

func (p *publisher) forward(e *types.Envelope) error {
	svc, err := p.client.EventsService()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(namespaces.WithNamespace(context.Background(), p.namespace), publishTimeout)
	defer cancel()
	_, err = svc.Forward(ctx, &v1.ForwardRequest{Envelope: e})
	return err
}
