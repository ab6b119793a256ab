package daemon

import (
	"context"
	"testing"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// lookAgain is for what no event tells, and for events that came too early to be seen.
const lookAgain = 100 * time.Millisecond

// Eventually waits until a condition holds, looking again and again.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(callTimeout)
	for pause := time.Millisecond; !holds(); pause = min(2*pause, lookAgain) {
		if time.Now().After(deadline) {
			t.Fatalf("after %s: not yet %s", callTimeout, what)
		}
		time.Sleep(pause)
	}
}

// Await waits until a condition holds, looking after every event of the runtime.
func (d *Daemon) Await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), callTimeout)
	defer cancel()
	happened := make(chan struct{}, 1)
	stream, err := d.Runtime.GetContainerEvents(ctx, &runtimeapi.GetEventsRequest{})
	if err == nil {
		go func() {
			for {
				if _, err := stream.Recv(); err != nil {
					return
				}
				select {
				case happened <- struct{}{}:
				default:
				}
			}
		}()
	}
	for !holds() {
		select {
		case <-happened:
		case <-time.After(lookAgain):
		case <-ctx.Done():
			t.Fatalf("after %s: not yet %s", callTimeout, what)
		}
	}
}

// WaitExited waits until the container has ended and returns its status.
func (c *Container) WaitExited(t testing.TB) *runtimeapi.ContainerStatus {
	t.Helper()
	var status *runtimeapi.ContainerStatus
	c.d.Await(t, "ended: container "+c.ID, func() bool {
		status = c.Status(t)
		return status.GetState() == runtimeapi.ContainerState_CONTAINER_EXITED
	})
	return status
}
