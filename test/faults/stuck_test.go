package faults

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
)

// TestIgnoresTerm: a process that ignores its stop signal gets its grace, then SIGKILL; a
// second Stop with less grace makes it sooner.
func TestIgnoresTerm(t *testing.T) {
	d := launch(t, daemon.Options{})
	watched(t, d)
	pod := d.RunPod(t)
	stubborn := []string{"sh", "-c", "trap 'echo asked' TERM; echo ready; while :; do sleep 0.1; done"}
	c := pod.Run(t, stubborn...)
	c.WaitLog(t, "ready")
	begin := time.Now()
	c.Stop(t, 2)
	if took := time.Since(begin); took < 2*time.Second || took > 4*time.Second {
		t.Errorf("StopContainer with 2 s of grace took %s", took)
	}
	if st := c.Status(t); st.GetExitCode() != 137 {
		t.Errorf("exit code %d", st.GetExitCode())
	}
	if text := c.LogText(t, "stdout"); !strings.Contains(text, "asked") {
		t.Errorf("was never asked to end: %q", text)
	}
	c = pod.Run(t, stubborn...)
	c.WaitLog(t, "ready")
	begin = time.Now()
	first := make(chan error, 1)
	go func() {
		_, err := d.Runtime.StopContainer(background(), &runtimeapi.StopContainerRequest{ContainerId: c.ID, Timeout: 600})
		first <- err
	}()
	c.WaitLog(t, "asked")
	c.Stop(t, 0)
	if err := <-first; err != nil || time.Since(begin) > 5*time.Second {
		t.Errorf("the first Stop ended after %s: %v", time.Since(begin), err)
	}
}

// frozenAbove is a cgroup above that of a pod: what is frozen there, Berth does not thaw.
const frozenAbove = "berth-test-frozen"

// TestUninterruptible: a process that not even SIGKILL ends, here because a cgroup far above it is frozen,
// makes its own Stop fail within a bound, and nothing else wait. When it ends at last, so
// do they all.
func TestUninterruptible(t *testing.T) {
	const freezer = "/sys/fs/cgroup/freezer"
	if _, err := os.Stat(freezer); err != nil {
		t.Skip("needs the freezer of cgroup v1, which a SIGKILL does not thaw")
	}
	d := launch(t, daemon.Options{Config: "[container]\nkill_timeout = \"2s\"\n"})
	watched(t, d)
	t.Cleanup(func() {
		out, err := exec.Command("find", "/sys/fs/cgroup", "-depth", "-type", "d", "-path", "*/"+frozenAbove+"*", "-exec", "rmdir", "{}", "+").CombinedOutput()
		if err != nil {
			t.Errorf("removing the cgroups of the test: %v\n%s", err, out)
		}
	})
	pod, other := d.RunPod(t, daemon.WithPod(func(c *runtimeapi.PodSandboxConfig) {
		c.Linux.CgroupParent = "/" + frozenAbove + "/pod"
	})), d.RunPod(t)
	c := pod.Run(t)
	state := filepath.Join(freezer, frozenAbove, "freezer.state")
	must(t, os.WriteFile(state, []byte("FROZEN"), 0))
	t.Cleanup(func() { _ = os.WriteFile(state, []byte("THAWED"), 0) })

	begin := time.Now()
	_, err := d.Runtime.StopContainer(daemon.Context(t), &runtimeapi.StopContainerRequest{ContainerId: c.ID, Timeout: 1})
	if status.Code(err) != codes.DeadlineExceeded || time.Since(begin) > 10*time.Second {
		t.Errorf("StopContainer: after %s: %v", time.Since(begin), err)
	}
	if above := "frozen by cgroup " + filepath.Dir(state) + ", which is above its pod"; !strings.Contains(err.Error(), above) {
		t.Errorf("StopContainer: %v; want it to say %q", err, above)
	}
	_, err = d.Runtime.ExecSync(daemon.Context(t), &runtimeapi.ExecSyncRequest{ContainerId: c.ID, Cmd: []string{"true"}, Timeout: 5})
	refused(t, "ExecSync", err, "frozen by cgroup "+filepath.Dir(state)+",")
	update(t, d, c)
	d.Kill(t)
	d.Start(t)
	quick(t, d)
	if got := other.Run(t).Output(t, "hostname"); got != "berth-test\n" {
		t.Errorf("another pod: hostname %q", got)
	}
	ctx, cancel := context.WithTimeout(background(), 15*time.Second)
	defer cancel()
	if _, err := d.Runtime.RemovePodSandbox(ctx, &runtimeapi.RemovePodSandboxRequest{PodSandboxId: pod.ID}); err == nil {
		t.Error("the pod was removed around a process that is there")
	}
	must(t, os.WriteFile(state, []byte("THAWED"), 0))
	pod.Remove(t)
	healthy(t, d)
}

// TestStateLost: as after a reboot, all that runs is gone and the state directory with
// it. Pods are not ready, containers have ended with a reason, all can be removed, and
// the same pod comes up again as its next attempt.
func TestStateLost(t *testing.T) {
	either(t, func(t *testing.T, d *daemon.Daemon) {
		before, err := d.StockOf(t.Context())
		must(t, err)
		request := d.PodRequest(t)
		pod := d.RunPodRequest(t, request)
		running, created := pod.Run(t), pod.Create(t)
		done := pod.Run(t, "sh", "-c", "exit 5")
		done.WaitExited(t)
		daemon.Eventually(t, "saved: the exit", func() bool { return done.Status(t).GetExitCode() == 5 })
		reboot(t, d, pod.ID)
		d.Start(t)
		if st := pod.Status(t); st.GetState() != runtimeapi.PodSandboxState_SANDBOX_NOTREADY {
			t.Errorf("the pod is %s", st.GetState())
		}
		if st := running.Status(t); st.GetState() != runtimeapi.ContainerState_CONTAINER_EXITED || st.GetExitCode() != 255 || st.GetReason() != "Unknown" {
			t.Errorf("a container that ran: %s, %d, %s", st.GetState(), st.GetExitCode(), st.GetReason())
		}
		if st := done.Status(t); st.GetExitCode() != 5 {
			t.Errorf("a container that had ended: exit code %d", st.GetExitCode())
		}
		_, err = d.Runtime.StartContainer(daemon.Context(t), &runtimeapi.StartContainerRequest{ContainerId: created.ID})
		if err == nil {
			t.Error("a container was started in a pod that is gone")
		}
		request.Config.Metadata.Attempt++
		next := d.RunPodRequest(t, request)
		if got := next.Run(t).Output(t, "hostname"); got != "berth-test\n" {
			t.Errorf("hostname %q", got)
		}
		must(t, removeAll(daemon.Context(t), d))
		if d.External { // it removes its own working directories at its next start only
			d.KillContainerd(t)
			d.StartContainerd(t)
		}
		if err := d.Clean(daemon.Context(t), before); err != nil {
			t.Error(err)
		}
		healthy(t, d)
	})
}

// reboot ends the daemon and everything of a pod, and takes away what a reboot does.
func reboot(t *testing.T, d *daemon.Daemon, podID string) {
	t.Helper()
	shim := shimPID(t, d, podID)
	d.Kill(t)
	if d.External {
		must(t, d.EndContainerd())
	}
	must(t, unix.Kill(shim, unix.SIGKILL))
	groups := cgroupsOf(t, shim, podID)
	for _, group := range groups {
		_ = filepath.Walk(group, func(path string, info os.FileInfo, err error) error {
			if err != nil || info.Name() != "cgroup.procs" {
				return nil
			}
			procs, _ := os.ReadFile(path)
			for _, p := range strings.Fields(string(procs)) {
				_ = exec.Command("kill", "-9", p).Run()
			}
			return nil
		})
	}
	daemon.Eventually(t, "gone: the cgroups of the pod", func() bool {
		gone := true
		for _, group := range groups {
			children, _ := filepath.Glob(filepath.Join(group, "*", "cgroup.procs"))
			for _, child := range children {
				_ = os.Remove(filepath.Dir(child))
			}
			if err := os.Remove(group); err != nil && !os.IsNotExist(err) {
				gone = false
			}
		}
		return gone
	})
	raw, err := os.ReadFile("/proc/self/mountinfo")
	must(t, err)
	lines := strings.Split(string(raw), "\n")
	for n := len(lines) - 1; n >= 0; n-- {
		fields := strings.Fields(lines[n])
		if len(fields) > 4 && strings.HasPrefix(fields[4], d.Dir+"/") {
			_ = unix.Unmount(fields[4], unix.MNT_DETACH)
		}
	}
	must(t, os.RemoveAll(d.Configuration.State))
	if d.External {
		must(t, os.RemoveAll(filepath.Join(d.Dir, "cs")))
		d.StartContainerd(t)
	}
}
