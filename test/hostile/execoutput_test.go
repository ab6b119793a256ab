package hostile

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
)

// TestExecSyncFlood: commands that write without end give the beginning of their output and their
// exit code, many at a time do not make the daemon hold all of it, and a probe among them is not
// disturbed.
func TestExecSyncFlood(t *testing.T) {
	const commands, most = 20, 400 << 20
	d := target(t)
	c := d.RunPod(t).Run(t)
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", d.PID()), []byte("5"), 0o200); err != nil {
		t.Fatal(err) // begins the high-water mark anew
	}
	before := highWater(t, d.PID())
	flood := func(code int) error {
		resp, err := d.Runtime.ExecSync(daemon.Context(t), &runtimeapi.ExecSyncRequest{
			ContainerId: c.ID, Cmd: []string{"sh", "-c", fmt.Sprintf("head -c 30000000 /dev/zero | tee /dev/stderr; exit %d", code)},
		})
		if err != nil {
			return err
		}
		if resp.GetExitCode() != int32(code) || len(resp.GetStdout()) < 60<<10 || !strings.Contains(string(resp.GetStderr()), "output was cut off") {
			return fmt.Errorf("exit code %d, want %d, with %d and %d bytes of output", resp.GetExitCode(), code, len(resp.GetStdout()), len(resp.GetStderr()))
		}
		return nil
	}
	if err := flood(3); err != nil {
		t.Errorf("one alone: %v", err)
	}
	var all sync.WaitGroup
	for i := range commands {
		all.Go(func() {
			if err := flood(i); err != nil {
				t.Errorf("one of many: %v", err)
			}
		})
	}
	if got := c.Output(t, "echo ready"); got != "ready\n" {
		t.Errorf("a probe in between says %q", got)
	}
	all.Wait()
	after := highWater(t, d.PID())
	t.Logf("the daemon held %d MiB at most, %d before", after>>20, before>>20)
	if after-before > most {
		t.Errorf("the daemon held %d bytes more at a time", after-before)
	}
}

// highWater is the largest resident size of a process so far, in bytes.
func highWater(t *testing.T, pid int) (n int) {
	t.Helper()
	status, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(pid), "status"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	if _, err := fmt.Sscanf(rest, "%d kB", &n); err != nil {
		t.Fatal(err)
	}
	return n << 10
}
