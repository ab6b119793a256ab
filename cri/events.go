package cri

import (
	"context"
	"time"

	"google.golang.org/grpc"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/container"
	"github.com/berth-run/berth/internal/budget"
	"github.com/berth-run/berth/internal/events"
	"github.com/berth-run/berth/internal/report"
	"github.com/berth-run/berth/sandbox"
)

// feed is the RPC of events.
type feed struct {
	hub *events.Hub
	// stop ends all subscriptions when the daemon stops.
	stop context.Context
}

// GetContainerEvents implements the RPC.
func (f feed) GetContainerEvents(_ *runtimeapi.GetEventsRequest, out grpc.ServerStreamingServer[runtimeapi.ContainerEventResponse]) error {
	ctx, cancel := context.WithCancel(out.Context())
	defer cancel()
	defer context.AfterFunc(f.stop, cancel)()
	return f.hub.Subscribe(ctx, out.Send)
}

// Announcer turns changes of pods and containers into events.
type Announcer struct {
	Hub        *events.Hub
	Containers *container.Manager
}

// Pod announces a change of a pod, under the pod's own ID.
func (a *Announcer) Pod(s *sandbox.Sandbox, what runtimeapi.ContainerEventType) {
	a.publish(s.ID, s, what)
}

// Container announces a change of a container.
func (a *Announcer) Container(c *container.Container, what runtimeapi.ContainerEventType) {
	a.publish(c.ID, c.Pod, what)
}

func (a *Announcer) publish(id string, pod *sandbox.Sandbox, what runtimeapi.ContainerEventType) {
	a.Hub.Publish(func() *events.Event {
		e := &events.Event{
			ContainerId:        id,
			ContainerEventType: what,
			CreatedAt:          time.Now().UnixNano(),
			PodSandboxStatus:   pod.Status(),
			ContainersStatuses: a.Containers.PodStatuses(pod.ID),
		}
		// One event that its subscriber cannot receive would end the events of all pods.
		report.Fit(e, budget.StreamMessage)
		return e
	})
}
