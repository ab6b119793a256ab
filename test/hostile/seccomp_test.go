package hostile

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
)

// killing is a profile that allows every system call but one, at which the kernel ends the thread that makes it.
func killing(t *testing.T, call string) daemon.ContainerOption {
	t.Helper()
	path := filepath.Join(t.TempDir(), "profile.json")
	profile := fmt.Sprintf(`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":[%q],"action":"SCMP_ACT_KILL"}]}`, call)
	if err := os.WriteFile(path, []byte(profile), 0o644); err != nil {
		t.Fatal(err)
	}
	return func(c *runtimeapi.ContainerConfig) {
		c.Linux.SecurityContext.Seccomp = &runtimeapi.SecurityProfile{
			ProfileType: runtimeapi.SecurityProfile_Localhost, LocalhostRef: path,
		}
	}
}

// TestProfileKillsInit starts containers whose profile ends the main thread of runc's init, and leaves its other
// threads: while runc creates the container (openat), and while the shim waits for it (write). The start fails
// with the reason, and the pod can be removed.
func TestProfileKillsInit(t *testing.T) {
	d := target(t)
	for _, call := range []string{"openat", "write"} {
		t.Run(call, func(t *testing.T) {
			pod := d.RunPod(t)
			c := pod.Create(t, killing(t, call))
			_, err := d.Runtime.StartContainer(daemon.Context(t), &runtimeapi.StartContainerRequest{ContainerId: c.ID})
			if status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "profile.json has SCMP_ACT_KILL") {
				t.Errorf("StartContainer: %v", err)
			}
			if s := c.Status(t); s.GetState() != runtimeapi.ContainerState_CONTAINER_EXITED || s.GetReason() != "ContainerCannotRun" {
				t.Errorf("the container is %s, %s", s.GetState(), s.GetReason())
			}
			pod.Run(t, "true").WaitExited(t)
			pod.Remove(t)
			nothingOf(t, d, pod.ID, c.ID)
		})
	}
}

// TestProfileKillsInitAcrossRestart: the same, but berthd is killed while the start hangs. The next one gives the
// start up, and the pod can be removed.
func TestProfileKillsInitAcrossRestart(t *testing.T) {
	d := target(t)
	for _, call := range []string{"openat", "write"} {
		t.Run(call, func(t *testing.T) {
			pod := d.RunPod(t)
			c := pod.Create(t, killing(t, call))
			ctx := daemon.Context(t)
			go func() {
				_, _ = d.Runtime.StartContainer(ctx, &runtimeapi.StartContainerRequest{ContainerId: c.ID})
			}()
			dir := filepath.Join("/sys/fs/cgroup/pids/berth", pod.ID, c.ID)
			if _, err := os.Stat("/sys/fs/cgroup/pids"); err != nil {
				dir = filepath.Join("/sys/fs/cgroup/berth", pod.ID, c.ID)
			}
			daemon.Eventually(t, "dead: the main thread of the init", func() bool { return deadMainThread(dir) })
			d.Kill(t)
			d.Start(t)
			pod.Remove(t)
			nothingOf(t, d, pod.ID, c.ID)
		})
	}
}

// deadMainThread reports whether a process in the cgroup is one whose main thread is dead and whose others live.
func deadMainThread(dir string) bool {
	procs, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	var pid int
	if _, err := fmt.Sscan(string(procs), &pid); err != nil {
		return false
	}
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	threads, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	var state string
	_, _ = fmt.Sscanf(string(stat), "%d %s %s", new(int), new(string), &state)
	return state == "Z" && len(threads) > 1
}

// nothingOf expects that doctor finds nothing of a pod or its container.
func nothingOf(t *testing.T, d *daemon.Daemon, ids ...string) {
	t.Helper()
	found, err := d.Doctor(daemon.Context(t), false)
	if err != nil {
		t.Error(err)
	}
	for _, f := range found {
		for _, id := range ids {
			if strings.Contains(f.String(), id) {
				t.Errorf("berthd doctor finds %s", f)
			}
		}
	}
}
