package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
)

// attemptOf asks for an attempt of one container, which leaves a file in dir when it runs.
func attemptOf(n uint32, dir string) daemon.ContainerOption {
	return func(c *runtimeapi.ContainerConfig) {
		c.Metadata = &runtimeapi.ContainerMetadata{Name: "app", Attempt: n}
		c.Mounts = append(c.Mounts, &runtimeapi.Mount{HostPath: dir, ContainerPath: "/ran"})
		c.Command = []string{"sh", "-c", "touch /ran/$0; exec sleep 1000", fmt.Sprint(n)}
	}
}

// TestStartCutOff: berthd is killed while the shim is at work on a start. The next berthd gives the start up before
// it makes the next attempt, so that the client never sees two of which the older one runs. Here the shim
// does not answer at first.
func TestStartCutOff(t *testing.T) {
	either(t, func(t *testing.T, d *daemon.Daemon) {
		pod, dir := d.RunPod(t), t.TempDir()
		first, request := pod.Create(t, attemptOf(0, dir)), pod.CreateRequest(attemptOf(1, dir))
		init, shim := cutOff(t, d, pod, first)
		must(t, unix.Kill(shim, unix.SIGSTOP))
		t.Cleanup(func() { _ = unix.Kill(shim, unix.SIGCONT) })
		d.Start(t)
		ctx, giveUp := context.WithTimeout(background(), time.Second)
		defer giveUp()
		if _, err := d.Runtime.CreateContainer(ctx, request); status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("the next attempt, while the shim may still start the one before: %v", err)
		}
		must(t, unix.Kill(shim, unix.SIGCONT))
		second := pod.CreateFrom(t, request)
		_ = unix.Kill(init, unix.SIGCONT) // had it been left, it would go on now
		second.Start(t)
		d.Await(t, "the second attempt", func() bool { return exists(filepath.Join(dir, "1")) })
		if exists(filepath.Join(dir, "0")) {
			t.Error("the first attempt ran, though the daemon that began to start it was killed")
		}
		if s := first.State(t); s != runtimeapi.ContainerState_CONTAINER_EXITED {
			t.Errorf("the first attempt is %s", s)
		}
	})
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

// TestStartCutOffAgain: the same, but the client asks for the same container again.
func TestStartCutOffAgain(t *testing.T) {
	either(t, func(t *testing.T, d *daemon.Daemon) {
		pod, dir := d.RunPod(t), t.TempDir()
		c := pod.Create(t, attemptOf(0, dir))
		cutOff(t, d, pod, c)
		d.Start(t)
		c.Start(t)
		d.Await(t, "the container", func() bool { return exists(filepath.Join(dir, "0")) })
	})
}

// TestStopDuringStart: a start whose init does not go on does not keep the pod from being stopped.
func TestStopDuringStart(t *testing.T) {
	either(t, func(t *testing.T, d *daemon.Daemon) {
		pod, dir := d.RunPod(t), t.TempDir()
		c := pod.Create(t, attemptOf(0, dir))
		init, _ := stuckStart(t, d, pod, c)
		pod.Stop(t)
		if err := unix.Kill(init, 0); err == nil {
			t.Error("the init lives on")
		}
		if s := c.Status(t); s.GetState() != runtimeapi.ContainerState_CONTAINER_EXITED || exists(filepath.Join(dir, "0")) {
			t.Errorf("the container is %s, it ran: %t", s.GetState(), exists(filepath.Join(dir, "0")))
		}
		pod.Remove(t)
	})
}

// cutOff kills berthd in the middle of a start, see stuckStart.
func cutOff(t *testing.T, d *daemon.Daemon, pod *daemon.Pod, c *daemon.Container) (init, shim int) {
	t.Helper()
	init, shim = stuckStart(t, d, pod, c)
	d.Kill(t)
	return init, shim
}

// stuckStart brings a start to where the shim waits for the container's init, which is stopped. It returns the
// PIDs of both.
func stuckStart(t *testing.T, d *daemon.Daemon, pod *daemon.Pod, c *daemon.Container) (init, shim int) {
	t.Helper()
	const point = "StartContainer/start/do/before"
	must(t, d.Arm(daemon.Context(t), point, "hang"))
	ctx, giveUp := context.WithCancel(daemon.Context(t))
	t.Cleanup(giveUp)
	go func() { _, _ = d.Runtime.StartContainer(ctx, &runtimeapi.StartContainerRequest{ContainerId: c.ID}) }()
	must(t, d.AwaitHit(daemon.Context(t), point))
	var record struct{ PID int }
	raw, err := os.ReadFile(d.Configuration.Paths().ContainerStatus(c.ID))
	if err == nil {
		err = json.Unmarshal(raw, &record)
	}
	if err == nil {
		err = unix.Kill(record.PID, unix.SIGSTOP)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Kill(record.PID, unix.SIGCONT) })
	shim = shimPID(t, d, pod.ID)
	must(t, d.Disarm(daemon.Context(t)))
	d.Await(t, "the shim to wait for the init", func() bool { return hasOpen(shim, "exec.fifo") })
	return record.PID, shim
}

// hasOpen reports whether a process has a file of that name open.
func hasOpen(pid int, name string) bool {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	fds, _ := os.ReadDir(dir)
	for _, fd := range fds {
		if to, err := os.Readlink(filepath.Join(dir, fd.Name())); err == nil && filepath.Base(to) == name {
			return true
		}
	}
	return false
}
