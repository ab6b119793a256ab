package guest

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
	"github.com/berth-run/berth/test/images"
)

// TestKill kills berthd while containers run, end and are killed for want of memory.
func TestKill(t *testing.T) {
	d := use(t)
	pod := d.RunPod(t)
	running := pod.RunWith(t, withResources(&resources{MemoryLimitInBytes: 64 << 20}))
	dir := t.TempDir()
	mount := func(c *runtimeapi.ContainerConfig) {
		c.Mounts = append(c.Mounts, &runtimeapi.Mount{HostPath: dir, ContainerPath: "/control"})
	}
	const wait = "until [ -e /control/go ]; do usleep 10000; done; "
	exits := pod.RunWith(t, mount, daemon.WithShell(wait+"echo last words; exit 7"))
	hungry := pod.RunWith(t, mount, daemon.WithImage(images.Tools), daemon.WithShell(wait+"exec memhog"),
		withResources(&resources{MemoryLimitInBytes: 20 << 20}))
	cgroup, pids := dirOf(t, running), []int{pid(t, exits), pid(t, hungry)}

	d.Kill(t)
	down := time.Now()
	if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids {
		daemon.Eventually(t, "ended: the process", func() bool { return ended(pid) })
	}
	d.Start(t)

	for c, want := range map[*daemon.Container]struct {
		code   int32
		reason string
	}{exits: {7, "Error"}, hungry: {137, "OOMKilled"}} {
		status := c.WaitExited(t)
		if status.GetExitCode() != want.code || status.GetReason() != want.reason || time.Unix(0, status.GetFinishedAt()).Before(down) {
			t.Errorf("ended while berthd was down: %d, %s at %s (down since %s), want %v",
				status.GetExitCode(), status.GetReason(), time.Unix(0, status.GetFinishedAt()), down, want)
		}
	}
	if got := exits.LogText(t, "stdout"); got != "last words\n" {
		t.Errorf("log %q", got)
	}
	if running.State(t) != runtimeapi.ContainerState_CONTAINER_RUNNING || dirOf(t, running) != cgroup {
		t.Error("the container does not run as before")
	}
	_, err := d.Runtime.UpdateContainerResources(daemon.Context(t), &runtimeapi.UpdateContainerResourcesRequest{
		ContainerId: running.ID, Linux: &resources{MemoryLimitInBytes: 32 << 20},
	})
	if err != nil {
		t.Fatal(err)
	}
	wantFiles(t, cgroup, map[string]string{"memory.max": bytes(32 << 20)})
	if got := running.Output(t, "echo works"); got != "works\n" {
		t.Errorf("exec: %q", got)
	}
}

// ended reports whether a process is gone, or a zombie.
func ended(pid int) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return true
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(rest, "Z") || strings.HasPrefix(rest, "X")
}
