package guest

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
)

// jump sets the machine's clock.
func jump(t *testing.T, by time.Duration) {
	t.Helper()
	tv := unix.NsecToTimeval(time.Now().Add(by).UnixNano())
	if err := unix.Settimeofday(&tv); err != nil {
		t.Fatal(err)
	}
}

// TestClockJumps: deadlines are spans of time, not times of day. A clock that jumps by a
// day, either way, lets no timeout pass early and none last longer.
func TestClockJumps(t *testing.T) {
	d := use(t)
	for _, by := range []time.Duration{24 * time.Hour, -48 * time.Hour, 24 * time.Hour} {
		pod := d.RunPod(t)
		c := pod.RunWith(t, daemon.WithShell(`trap 'sleep 1; exit 5' TERM; echo ready; while :; do usleep 50000; done`))
		c.WaitLog(t, "ready")
		done := make(chan error, 1)
		go func() {
			_, err := d.Runtime.ExecSync(daemon.Context(t), &runtimeapi.ExecSyncRequest{
				ContainerId: c.ID, Cmd: []string{"sh", "-c", "touch /begun; sleep 2"}, Timeout: 60,
			})
			done <- err
		}()
		daemon.Eventually(t, "the command runs", func() bool { return c.Output(t, "[ -e /begun ] && echo yes || true") == "yes\n" })
		jump(t, by)
		if err := <-done; err != nil {
			t.Errorf("a command with a timeout of a minute, with the clock %s ahead: %v", by, err)
		}
		stopped := make(chan struct{})
		go func() { c.Stop(t, 60); close(stopped) }()
		jump(t, by)
		jump(t, -by)
		<-stopped
		if status := c.WaitExited(t); status.GetExitCode() != 5 {
			t.Errorf("ended with %d, should have had its grace and ended with 5", status.GetExitCode())
		}
		pod.Remove(t)
	}
}
