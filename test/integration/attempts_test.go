package integration

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/grpc/codes"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
)

// attempt asks for an attempt of one container, which leaves a file in dir when it runs.
func attempt(n uint32, dir string) daemon.ContainerOption {
	return func(c *runtimeapi.ContainerConfig) {
		c.Metadata = &runtimeapi.ContainerMetadata{Name: "app", Attempt: n}
		c.Mounts = append(c.Mounts, &runtimeapi.Mount{HostPath: dir, ContainerPath: "/ran"})
		c.Command = []string{"sh", "-c", "touch /ran/$0; exec sleep 1000", string(rune('0' + n))}
	}
}

func start(ctx context.Context, d *daemon.Daemon, id string) error {
	_, err := d.Runtime.StartContainer(ctx, &runtimeapi.StartContainerRequest{ContainerId: id})
	return err
}

// TestOneAttemptRuns: of the attempts of one container at most one runs, and it is the newest that was asked for.
func TestOneAttemptRuns(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		pod, dir := d.RunPod(t), t.TempDir()
		older, newer := pod.Create(t, attempt(0, dir)), pod.Create(t, attempt(1, dir))
		wantCode(t, start(daemon.Context(t), d, older.ID), codes.FailedPrecondition, newer.ID)
		next := pod.Create(t, attempt(2, dir))
		if err := start(daemon.Context(t), d, next.ID); err != nil {
			t.Fatal(err)
		}
		_, err := d.Runtime.CreateContainer(daemon.Context(t), pod.CreateRequest(attempt(3, dir)))
		wantCode(t, err, codes.FailedPrecondition, next.ID)
		for _, n := range []string{"0", "1"} {
			if _, err := os.Stat(filepath.Join(dir, n)); err == nil {
				t.Errorf("attempt %s ran", n)
			}
		}
		if _, err := d.Runtime.StopContainer(daemon.Context(t), &runtimeapi.StopContainerRequest{ContainerId: next.ID}); err != nil {
			t.Fatal(err)
		}
		pod.Create(t, attempt(3, dir)) // the one before has ended
		older.Remove(t)
		_, err = d.Runtime.CreateContainer(daemon.Context(t), pod.CreateRequest(attempt(0, dir)))
		wantCode(t, err, codes.FailedPrecondition, "is not made any more") // a request that comes late
	})
}

// TestStartNobodyWaitsFor: a start whose caller has given up does not reach the user's process, so that the next
// attempt has the volumes for itself.
func TestStartNobodyWaitsFor(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		pod, dir := d.RunPod(t), t.TempDir()
		first := pod.Create(t, attempt(0, dir))
		const point = "StartContainer/start/do/before"
		if err := d.Arm(daemon.Context(t), point, "delay(1s)"); err != nil {
			t.Fatal(err)
		}
		ctx, giveUp := context.WithCancel(daemon.Context(t))
		go func() {
			if err := d.AwaitHit(daemon.Context(t), point); err != nil {
				t.Error(err)
			}
			giveUp()
		}()
		wantCode(t, start(ctx, d, first.ID), codes.Canceled)
		second := pod.Create(t, attempt(1, dir))
		if err := start(daemon.Context(t), d, second.ID); err != nil {
			t.Fatal(err)
		}
		d.Await(t, "the end of the start that nobody waits for", func() bool {
			s, err := d.Runtime.ContainerStatus(daemon.Context(t), &runtimeapi.ContainerStatusRequest{ContainerId: first.ID})
			return err == nil && s.GetStatus().GetState() == runtimeapi.ContainerState_CONTAINER_EXITED
		})
		d.Await(t, "the second attempt", func() bool { _, err := os.Stat(filepath.Join(dir, "1")); return err == nil })
		if _, err := os.Stat(filepath.Join(dir, "0")); err == nil {
			t.Error("the first attempt ran, though nobody waited for it")
		}
	})
}
