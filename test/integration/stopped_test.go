package integration

import (
	"os/exec"
	"path/filepath"
	"testing"

	"google.golang.org/grpc/codes"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
)

// TestStopBeforeHandler stops a container whose program has not installed its handler yet: process 1 of a PID
// namespace does not get the signal then, and gets it again once it has the handler.
func TestStopBeforeHandler(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		// Also while the process is still runc's: the stop comes as soon as the start has returned.
		c := d.RunPod(t).RunWith(t, daemon.WithShell("usleep 400000; trap 'exit 7' TERM; while :; do usleep 20000; done"))
		c.Stop(t, 60)
		if s := c.Status(t); s.GetExitCode() != 7 {
			t.Errorf("exit code %d, reason %q: the handler did not get the signal", s.GetExitCode(), s.GetReason())
		}
	})
}

// TestFrozen: a frozen container runs no commands, says so, and can be stopped, with its handler, and removed.
func TestFrozen(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		freeze := func(id string) {
			t.Helper()
			out, err := exec.Command(filepath.Join(d.BinDir, "ctr"), "--address", d.ContainerdSocket(), "-n", "k8s.io", "tasks", "pause", id).CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		}
		pod := d.RunPod(t)
		c := pod.RunWith(t, daemon.WithShell("trap 'exit 7' TERM; echo ready; while :; do usleep 20000; done"))
		c.WaitLog(t, "ready")
		freeze(c.ID)
		_, err := d.Runtime.ExecSync(daemon.Context(t), &runtimeapi.ExecSyncRequest{ContainerId: c.ID, Cmd: []string{"true"}, Timeout: 5})
		wantCode(t, err, codes.FailedPrecondition, "frozen")
		c.Stop(t, 60)
		if s := c.Status(t); s.GetExitCode() != 7 {
			t.Errorf("exit code %d, reason %q: the handler did not get the signal", s.GetExitCode(), s.GetReason())
		}
		again := pod.Run(t, "sleep", "1000")
		freeze(again.ID)
		again.Stop(t, 0)
		again.Remove(t)
		last := pod.Run(t, "sleep", "1000")
		freeze(last.ID)
		pod.Remove(t)
	})
}
