package integration

import (
	"fmt"
	"maps"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
)

// numbered writes numbered lines, in bursts, until SIGTERM, and then how many there were.
const numbered = `i=0; trap 'echo "end $i"; exit 0' TERM
while :; do i=$((i+1)); echo "line $i"; [ $((i % 50)) = 0 ] && usleep 10000; done`

// TestRestart ends berthd in several ways while pods run, and starts it again: a kill, a
// clean stop (which is also what an upgrade does), and a kill together with an external
// containerd.
func TestRestart(t *testing.T) {
	own(t, daemon.Options{}, func(t *testing.T, d *daemon.Daemon) {
		ends := map[string]func(){"kill": func() { d.Kill(t) }, "stop": func() { d.Stop(t) }}
		if d.External {
			ends["kill both"] = func() { d.Kill(t); d.KillContainerd(t) }
		}
		for name, end := range ends {
			t.Run(name, func(t *testing.T) { restart(t, d, end) })
		}
	})
}

func restart(t *testing.T, d *daemon.Daemon, end func()) {
	dir, control := withHostDir(t, "/control")
	pod := d.RunPod(t)
	hostPod := d.RunPod(t, daemon.WithNamespaces(runtimeapi.NamespaceMode_NODE, runtimeapi.NamespaceMode_POD, runtimeapi.NamespaceMode_POD))
	writer := pod.RunWith(t, daemon.WithShell(numbered))
	tty := pod.RunWith(t, daemon.WithShell("echo on a terminal; sleep 1000"), func(c *runtimeapi.ContainerConfig) { c.Tty = true })
	ended := pod.Run(t, "sh", "-c", "exit 3")
	created := pod.Create(t)
	leaving := pod.RunWith(t, control, daemon.WithShell("until [ -e /control/leave ]; do usleep 10000; done; echo last words; exit 7"))
	inHost := hostPod.Run(t)
	ended.WaitExited(t)
	writer.WaitLog(t, "line 100\n")
	tty.WaitLog(t, "on a terminal")

	before, beforePods := statuses(t, writer, tty, ended, created, inHost), []*runtimeapi.PodSandboxStatus{pod.Status(t), hostPod.Status(t)}
	pods, containers, pid := listPods(t, d), listContainers(t, d), pidOf(t, d, leaving)

	end()
	down := time.Now()
	touch(t, dir, "leave")
	awaitGone(t, pid)
	gone := time.Now()
	if d.External && d.ContainerdPID() == 0 {
		d.StartContainerd(t)
	}
	d.Start(t)

	containers[leaving.ID] = runtimeapi.ContainerState_CONTAINER_EXITED
	if got := listPods(t, d); !maps.Equal(got, pods) {
		t.Errorf("pods %v, were %v", got, pods)
	}
	if got := listContainers(t, d); !maps.Equal(got, containers) {
		t.Errorf("containers %v, were %v", got, containers)
	}
	for i, was := range beforePods {
		if now := []*daemon.Pod{pod, hostPod}[i].Status(t); !proto.Equal(now, was) {
			t.Errorf("pod status\n%v\nwas\n%v", now, was)
		}
	}
	for i, now := range statuses(t, writer, tty, ended, created, inHost) {
		if !proto.Equal(now, before[i]) {
			t.Errorf("container status\n%v\nwas\n%v", now, before[i])
		}
	}
	status := leaving.Status(t)
	at := time.Unix(0, status.GetFinishedAt())
	if status.GetExitCode() != 7 || status.GetReason() != "Error" || at.Before(down) || at.After(gone.Add(time.Second)) {
		t.Errorf("exit during the downtime: code %d, %s, at %s (down at %s, gone at %s)",
			status.GetExitCode(), status.GetReason(), at, down, gone)
	}
	if got := leaving.LogText(t, "stdout"); got != "last words\n" {
		t.Errorf("log of the exit during the downtime: %q", got)
	}
	useAfterRestart(t, writer, tty, created, inHost)
}

// useAfterRestart does with containers what one does with containers.
func useAfterRestart(t *testing.T, writer, tty, created, inHost *daemon.Container) {
	t.Helper()
	for _, c := range []*daemon.Container{writer, tty, inHost} {
		if got := c.Output(t, "echo works"); got != "works\n" {
			t.Errorf("exec: %q", got)
		}
	}
	created.Start(t)
	if created.State(t) != runtimeapi.ContainerState_CONTAINER_RUNNING {
		t.Error("a container that was created before cannot be started")
	}
	writer.Stop(t, 10)
	if status := writer.WaitExited(t); status.GetExitCode() != 0 || status.GetReason() != "Completed" {
		t.Errorf("the writer ended with %d, %s", status.GetExitCode(), status.GetReason())
	}
	checkNumbered(t, writer.LogText(t, "stdout"))
}

// checkNumbered wants every line of the script numbered, once and in order.
func checkNumbered(t *testing.T, text string) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	last, numbers := lines[len(lines)-1], lines[:len(lines)-1]
	for i, line := range numbers {
		if want := fmt.Sprintf("line %d", i+1); line != want {
			t.Fatalf("line %d of %d of the log is %q, want %q", i+1, len(numbers), line, want)
		}
	}
	// The signal may come between the increment and the line.
	n, err := strconv.Atoi(strings.TrimPrefix(last, "end "))
	if err != nil || n < len(numbers) || n > len(numbers)+1 {
		t.Errorf("%d numbered lines, then %q", len(numbers), last)
	}
}

func statuses(t *testing.T, all ...*daemon.Container) []*runtimeapi.ContainerStatus {
	t.Helper()
	var out []*runtimeapi.ContainerStatus
	for _, c := range all {
		out = append(out, c.Status(t))
	}
	return out
}
