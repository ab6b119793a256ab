package daemon_test

import (
	"testing"

	"github.com/berth-run/berth/test/daemon"
	"github.com/berth-run/berth/test/images"
)

// TestDaemon runs one container on each kind of daemon, through a restart.
func TestDaemon(t *testing.T) {
	for name, opts := range map[string]daemon.Options{"embedded": {}, "external": {External: true}} {
		t.Run(name, func(t *testing.T) {
			d := daemon.Start(t, opts)
			d.Pull(t, images.Busybox)
			d.CheckLeaks(t)
			pod := d.RunPod(t)
			c := pod.Run(t, "sh", "-c", "echo out; echo err >&2; exit 3")
			if status := c.WaitExited(t); status.GetExitCode() != 3 || status.GetReason() != "Error" {
				t.Errorf("ended with %d, %s", status.GetExitCode(), status.GetReason())
			}
			if out, err := c.LogText(t, "stdout"), c.LogText(t, "stderr"); out != "out\n" || err != "err\n" {
				t.Errorf("stdout %q, stderr %q", out, err)
			}
			running := pod.Run(t)
			d.Kill(t)
			d.Start(t)
			if got := running.Output(t, "hostname"); got != "berth-test\n" {
				t.Errorf("hostname %q", got)
			}
		})
	}
}
