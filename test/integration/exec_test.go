package integration

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
)

func TestExecSync(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		c := d.RunPod(t).Run(t)
		resp := c.ExecSync(t, "sh", "-c", "echo out; echo err >&2; exit 5")
		if string(resp.GetStdout()) != "out\n" || string(resp.GetStderr()) != "err\n" || resp.GetExitCode() != 5 {
			t.Errorf("%v", resp)
		}
		if resp := c.ExecSync(t, "sh", "-c", "kill -KILL $$"); resp.GetExitCode() != 137 {
			t.Errorf("killed: %v", resp)
		}
		const size = 3 << 20
		big := c.ExecSync(t, "sh", "-c", "yes | head -c "+itoa(size)+" | tee /dev/stderr")
		if want := strings.Repeat("y\n", size/2); string(big.GetStdout()) != want || string(big.GetStderr()) != want {
			t.Errorf("big output: %d and %d bytes, want %d", len(big.GetStdout()), len(big.GetStderr()), size)
		}
	})
}

// TestExecSyncBound writes more than is kept; the command still runs to its end.
func TestExecSyncBound(t *testing.T) {
	own(t, daemon.Options{Config: "[container]\nexec_max_output = 100000\nexec_drain_timeout = \"500ms\"\n"}, func(t *testing.T, d *daemon.Daemon) {
		c := d.RunPod(t).Run(t)
		resp := c.ExecSync(t, "sh", "-c", "head -c 50000000 /dev/zero; exit 3")
		if len(resp.GetStdout()) != 100000 || resp.GetExitCode() != 3 {
			t.Errorf("%d bytes, code %d", len(resp.GetStdout()), resp.GetExitCode())
		}
		// A child keeps the streams open: the command has ended all the same.
		began := time.Now()
		resp = c.ExecSync(t, "sh", "-c", "echo done; sleep 300 & exit 2")
		if took := time.Since(began); took > 10*time.Second || string(resp.GetStdout()) != "done\n" || resp.GetExitCode() != 2 {
			t.Errorf("%v after %s", resp, took)
		}
	})
}

// TestExecSyncTimeout ends a command with everything it has started.
func TestExecSyncTimeout(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		c := d.RunPod(t).Run(t)
		exec := func(ctx context.Context, timeout int64) error {
			_, err := d.Runtime.ExecSync(ctx, &runtimeapi.ExecSyncRequest{
				ContainerId: c.ID, Timeout: timeout, Cmd: []string{"sh", "-c", "sleep 12345 & sleep 12345"},
			})
			return err
		}
		gone := func() {
			t.Helper()
			daemon.Eventually(t, "gone: the processes of the command", func() bool {
				return !strings.Contains(c.Output(t, "ps"), "12345")
			})
		}
		began := time.Now()
		wantCode(t, exec(daemon.Context(t), 1), codes.DeadlineExceeded, "sleep 12345")
		if took := time.Since(began); took < time.Second || took > 10*time.Second {
			t.Errorf("took %s", took)
		}
		gone()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := exec(ctx, 0); status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("a caller that gives up: %v", err)
		}
		gone()
	})
}

// TestExecMany runs commands one after the other and side by side; none leaves anything,
// which the check of the fixture sees.
func TestExecMany(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		c := d.RunPod(t).Run(t)
		before := d.Snapshot(t)
		for range 5 {
			_, errs := together(func() (string, error) {
				resp, err := d.Runtime.ExecSync(daemon.Context(t), &runtimeapi.ExecSyncRequest{ContainerId: c.ID, Cmd: []string{"cat", "/etc/passwd"}})
				if err == nil && !bytes.Contains(resp.GetStdout(), []byte("root")) {
					t.Errorf("output %q", resp.GetStdout())
				}
				return "", err
			})
			for _, err := range errs {
				if err != nil {
					t.Error(err)
				}
			}
		}
		d.AwaitAsBefore(t, before)
	})
}

// TestExecContext sees the container's user, environment, directory, limits and cgroup.
func TestExecContext(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		c := d.RunPod(t).RunWith(t, daemon.WithCommand("sleep", "1000"), func(c *runtimeapi.ContainerConfig) {
			c.WorkingDir = "/var/new"
			c.Envs = []*runtimeapi.KeyValue{{Key: "GREETING", Value: []byte("hello")}}
			c.Linux.SecurityContext.RunAsUser = &runtimeapi.Int64Value{Value: 1234}
			c.Linux.SecurityContext.RunAsGroup = &runtimeapi.Int64Value{Value: 5678}
		})
		if got := c.Output(t, "id -u; id -g; pwd; echo $GREETING; grep -c . /proc/self/cgroup"); !strings.HasPrefix(got, "1234\n5678\n/var/new\nhello\n") {
			t.Errorf("%q", got)
		}
		if inside, outside := c.Output(t, "cat /proc/1/cgroup"), c.Output(t, "cat /proc/self/cgroup"); inside != outside {
			t.Errorf("the command is in the cgroups\n%s, the container in\n%s", outside, inside)
		}
	})
}
