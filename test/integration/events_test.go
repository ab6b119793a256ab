package integration

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
	"github.com/berth-run/berth/test/images"
)

// listen subscribes to events and returns them one by one, in order.
func listen(t *testing.T, d *daemon.Daemon) <-chan *runtimeapi.ContainerEventResponse {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	stream, err := d.Runtime.GetContainerEvents(ctx, &runtimeapi.GetEventsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	events := make(chan *runtimeapi.ContainerEventResponse, 1000)
	go func() {
		defer close(events)
		for {
			e, err := stream.Recv()
			if err != nil {
				return
			}
			events <- e
		}
	}()
	return events
}

// subscribed waits until a subscription gets events: it makes some.
func subscribed(t *testing.T, d *daemon.Daemon, all ...<-chan *runtimeapi.ContainerEventResponse) {
	t.Helper()
	for _, events := range all {
		for {
			pod := d.RunPod(t)
			pod.Remove(t)
			if e := within(events, 200*time.Millisecond); e != nil {
				drain(events, pod.ID)
				break
			}
		}
	}
}

// within is the next event, nil when there is none for so long.
func within(events <-chan *runtimeapi.ContainerEventResponse, d time.Duration) *runtimeapi.ContainerEventResponse {
	select {
	case e := <-events:
		return e
	case <-time.After(d):
		return nil
	}
}

// drain drops events until the pod is deleted.
func drain(events <-chan *runtimeapi.ContainerEventResponse, podID string) {
	for e := within(events, 5*time.Second); e != nil; e = within(events, 5*time.Second) {
		if e.GetContainerId() == podID && e.GetContainerEventType() == runtimeapi.ContainerEventType_CONTAINER_DELETED_EVENT {
			return
		}
	}
}

// TestEvents follows the life of a pod with a container, with two subscribers.
func TestEvents(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		subscribers := []<-chan *runtimeapi.ContainerEventResponse{listen(t, d), listen(t, d)}
		subscribed(t, d, subscribers...)
		began := time.Now()
		pod := d.RunPod(t)
		c := pod.Run(t, "sh", "-c", "exit 3")
		c.WaitExited(t)
		c.Remove(t)
		pod.Stop(t)
		pod.Remove(t)
		const (
			created = runtimeapi.ContainerEventType_CONTAINER_CREATED_EVENT
			started = runtimeapi.ContainerEventType_CONTAINER_STARTED_EVENT
			stopped = runtimeapi.ContainerEventType_CONTAINER_STOPPED_EVENT
			deleted = runtimeapi.ContainerEventType_CONTAINER_DELETED_EVENT
		)
		want := []struct {
			id   string
			what runtimeapi.ContainerEventType
		}{
			{pod.ID, created}, {pod.ID, started}, {c.ID, created}, {c.ID, started}, {c.ID, stopped}, {c.ID, deleted},
			{pod.ID, stopped}, {pod.ID, deleted},
		}
		for n, events := range subscribers {
			for _, w := range want {
				e := within(events, 10*time.Second)
				for e != nil && e.GetPodSandboxStatus().GetId() != pod.ID {
					e = within(events, 10*time.Second) // of the pods that were made to subscribe
				}
				if e == nil || e.GetContainerId() != w.id || e.GetContainerEventType() != w.what {
					t.Fatalf("subscriber %d: %v of %s, want %v of %s", n, e.GetContainerEventType(), e.GetContainerId(), w.what, w.id)
				}
				if at := time.Unix(0, e.GetCreatedAt()); at.Before(began) || at.After(time.Now()) {
					t.Errorf("event at %s", at)
				}
				if w.id == c.ID && w.what == stopped {
					s := e.GetContainersStatuses()
					if len(s) != 1 || s[0].GetId() != c.ID || s[0].GetExitCode() != 3 || s[0].GetState() != runtimeapi.ContainerState_CONTAINER_EXITED {
						t.Errorf("the event of the exit has %v", s)
					}
				}
			}
		}
	})
}

// TestSlowSubscriber has one that does not read: the runtime goes on, and tells it in the
// end.
func TestSlowSubscriber(t *testing.T) {
	daemon.Require(t)
	d := daemon.Start(t, daemon.Options{})
	warmUp(t, d)
	ctx := daemon.Context(t)
	slow, err := d.Runtime.GetContainerEvents(ctx, &runtimeapi.GetEventsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	// Events so big that the connection takes one or two of them.
	pod := d.RunPod(t, daemon.WithPod(func(c *runtimeapi.PodSandboxConfig) {
		c.Annotations = map[string]string{"big": strings.Repeat("x", 100_000)}
	}))
	const each = 80 // times two events, times callers: more than the backlog
	_, errs := together(func() (string, error) {
		for range each {
			r := &runtimeapi.CreateContainerRequest{PodSandboxId: pod.ID, SandboxConfig: pod.Config, Config: &runtimeapi.ContainerConfig{
				Metadata: &runtimeapi.ContainerMetadata{Name: rand.Text()}, Image: &runtimeapi.ImageSpec{Image: images.Busybox},
			}}
			created, err := d.Runtime.CreateContainer(ctx, r)
			if err != nil {
				return "", err
			}
			if _, err := d.Runtime.RemoveContainer(ctx, &runtimeapi.RemoveContainerRequest{ContainerId: created.GetContainerId()}); err != nil {
				return "", err
			}
		}
		return "", nil
	})
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
	for err == nil {
		_, err = slow.Recv()
	}
	wantCode(t, err, codes.DataLoss, "subscribe again")
}

// TestStreamedLists gets lists of any length in chunks (KEP-5825).
func TestStreamedLists(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		ctx, pod := daemon.Context(t), d.RunPod(t)
		a, b := pod.Create(t), pod.Run(t)
		pods, err := collect(d.Runtime.StreamPodSandboxes(ctx, &runtimeapi.StreamPodSandboxesRequest{}))
		if err != nil || len(pods) != 1 || pods[0].GetPodSandboxes()[0].GetId() != pod.ID {
			t.Errorf("pods %v, %v", pods, err)
		}
		containers, err := collect(d.Runtime.StreamContainers(ctx, &runtimeapi.StreamContainersRequest{
			Filter: &runtimeapi.ContainerFilter{PodSandboxId: pod.ID},
		}))
		if err != nil || len(containers) != 1 || len(containers[0].GetContainers()) != 2 {
			t.Errorf("containers %v, %v, want %s and %s", containers, err, a.ID, b.ID)
		}
		containerStats, err := collect(d.Runtime.StreamContainerStats(ctx, &runtimeapi.StreamContainerStatsRequest{}))
		if err != nil || len(containerStats) != 1 {
			t.Errorf("statistics of containers %v, %v", containerStats, err)
		}
		podStats, err := collect(d.Runtime.StreamPodSandboxStats(ctx, &runtimeapi.StreamPodSandboxStatsRequest{}))
		if err != nil || len(podStats) != 1 {
			t.Errorf("statistics of pods %v, %v", podStats, err)
		}
		if _, err := collect(d.Runtime.StreamPodSandboxMetrics(ctx, &runtimeapi.StreamPodSandboxMetricsRequest{})); err != nil {
			t.Errorf("metrics of pods: %v", err)
		}
		found, err := collect(d.Image.StreamImages(ctx, &runtimeapi.StreamImagesRequest{
			Filter: &runtimeapi.ImageFilter{Image: &runtimeapi.ImageSpec{Image: images.Busybox}},
		}))
		if err != nil || len(found) != 1 || len(found[0].GetImages()) != 1 {
			t.Errorf("images %v, %v", found, err)
		}
	})
}

// collect reads a stream to its end.
func collect[T any](stream grpc.ServerStreamingClient[T], err error) ([]*T, error) {
	if err != nil {
		return nil, err
	}
	var all []*T
	for {
		item, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		all = append(all, item)
	}
}
