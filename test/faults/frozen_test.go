package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
)

// freezer is where the host freezes cgroups.
type freezer struct{ root, file, frozen, thawed string }

func hostFreezer(t *testing.T) freezer {
	t.Helper()
	if _, err := os.Stat("/sys/fs/cgroup/freezer"); err == nil {
		return freezer{"/sys/fs/cgroup/freezer", "freezer.state", "FROZEN", "THAWED"}
	}
	return freezer{"/sys/fs/cgroup", "cgroup.freeze", "1", "0"}
}

func (f freezer) freeze(t *testing.T, dir string) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(dir, f.file), []byte(f.frozen), 0))
	t.Cleanup(func() { f.thaw(dir) })
}

func (f freezer) thaw(dir string) { _ = os.WriteFile(filepath.Join(dir, f.file), []byte(f.thawed), 0) }

// isFrozen reports whether the cgroup itself is.
func (f freezer) isFrozen(dir string) bool {
	state, _ := os.ReadFile(filepath.Join(dir, f.file))
	return strings.HasPrefix(string(state), f.frozen) || strings.HasPrefix(string(state), "FREEZING")
}

// freezeBelow makes a cgroup below a container's, moves its process there and freezes it, as a container
// can that manages cgroups of its own.
func (f freezer) freezeBelow(t *testing.T, dir string, pid int) string {
	t.Helper()
	below := filepath.Join(dir, "below")
	must(t, os.Mkdir(below, 0o755))
	must(t, os.WriteFile(filepath.Join(below, "cgroup.procs"), fmt.Append(nil, pid), 0))
	f.freeze(t, below)
	return below
}

// TestFrozenAtEveryLevel freezes a container by its own cgroup, by its pod's and by one that it made itself: a command
// in it is refused and says where it is frozen, its resources can be changed, berthd can be killed, and it can be stopped,
// with its handler, and removed.
func TestFrozenAtEveryLevel(t *testing.T) {
	d := launch(t, daemon.Options{})
	watched(t, d)
	f := hostFreezer(t)
	for _, level := range []string{"container", "pod", "below"} {
		t.Run(level, func(t *testing.T) {
			pod := d.RunPod(t)
			c := pod.RunWith(t, daemon.WithShell("trap 'exit 7' TERM; echo ready; while :; do usleep 20000; done"))
			c.WaitLog(t, "ready")
			dir := filepath.Join(f.root, "berth", pod.ID, c.ID)
			switch level {
			case "container":
				f.freeze(t, dir)
			case "pod":
				f.freeze(t, filepath.Dir(dir))
			case "below":
				f.freezeBelow(t, dir, d.PIDOf(t, c.ID))
			}
			if level == "pod" {
				next := pod.Create(t)
				_, err := d.Runtime.StartContainer(daemon.Context(t), &runtimeapi.StartContainerRequest{ContainerId: next.ID})
				refused(t, "StartContainer", err, filepath.Dir(dir))
			}
			for range 2 {
				if level != "below" { // what of a container stands still is its own affair
					_, err := d.Runtime.ExecSync(daemon.Context(t), &runtimeapi.ExecSyncRequest{ContainerId: c.ID, Cmd: []string{"true"}, Timeout: 5})
					refused(t, "ExecSync", err, "frozen by cgroup "+f.root)
				}
				update(t, d, c)
				if level != "below" && !f.isFrozen(dir) {
					t.Error("the update has thawed it")
				}
				d.Kill(t)
				d.Start(t)
			}
			if s := c.State(t); s != runtimeapi.ContainerState_CONTAINER_RUNNING {
				t.Errorf("after two restarts it is %s", s)
			}
			c.Stop(t, 60)
			if s := c.Status(t); s.GetExitCode() != 7 {
				t.Errorf("exit code %d, reason %q: the handler did not get the signal", s.GetExitCode(), s.GetReason())
			}
			pod.Remove(t)
		})
	}
}

// TestFrozenRemoved removes pods that are frozen at each level at once, and one whose shim was killed.
func TestFrozenRemoved(t *testing.T) {
	d := launch(t, daemon.Options{})
	watched(t, d)
	f := hostFreezer(t)
	for _, level := range []string{"container", "pod", "below", "pod without a shim"} {
		t.Run(level, func(t *testing.T) {
			pod := d.RunPod(t)
			c := pod.Run(t)
			dir := filepath.Join(f.root, "berth", pod.ID, c.ID)
			switch level {
			case "container":
				f.freeze(t, dir)
			case "below":
				f.freezeBelow(t, dir, d.PIDOf(t, c.ID))
			default:
				f.freeze(t, filepath.Dir(dir))
			}
			if level == "pod without a shim" {
				must(t, unix.Kill(shimPID(t, d, pod.ID), unix.SIGKILL))
			}
			pod.Remove(t)
		})
	}
	healthy(t, d)
}

// refused expects FailedPrecondition with a text in it.
func refused(t *testing.T, what string, err error, part string) {
	t.Helper()
	if status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), part) {
		t.Errorf("%s: %v; want a refusal that says %q", what, err, part)
	}
}

// update changes the container's weight and expects the kernel to have it.
func update(t *testing.T, d *daemon.Daemon, c *daemon.Container) {
	t.Helper()
	shares := c.Status(t).GetResources().GetLinux().GetCpuShares() + 100
	_, err := d.Runtime.UpdateContainerResources(daemon.Context(t), &runtimeapi.UpdateContainerResourcesRequest{
		ContainerId: c.ID, Linux: &runtimeapi.LinuxContainerResources{CpuShares: shares},
	})
	must(t, err)
	if got := c.Status(t).GetResources().GetLinux().GetCpuShares(); got != shares {
		t.Errorf("%d CPU shares after an update to %d", got, shares)
	}
}
