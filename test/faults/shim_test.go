package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
)

// shimPID is the process of a pod's shim.
func shimPID(t *testing.T, d *daemon.Daemon, podID string) int {
	t.Helper()
	resp, err := d.Runtime.PodSandboxStatus(daemon.Context(t), &runtimeapi.PodSandboxStatusRequest{PodSandboxId: podID, Verbose: true})
	if err != nil {
		t.Fatal(err)
	}
	var info struct{ ShimPid int }
	if err := json.Unmarshal([]byte(resp.GetInfo()["info"]), &info); err != nil {
		t.Fatal(err)
	}
	return info.ShimPid
}

// watched makes the test fail when it leaves something behind. The daemon keeps cgroups
// open that it has taken samples of, until the next ones.
func watched(t *testing.T, d *daemon.Daemon) {
	t.Helper()
	d.CheckLeaks(t)
	t.Cleanup(func() {
		if _, err := d.Runtime.ListContainerStats(daemon.Context(t), &runtimeapi.ListContainerStatsRequest{}); err != nil {
			t.Error(err)
		}
	})
}

// quick expects reads to answer while something is stuck.
func quick(t *testing.T, d *daemon.Daemon) {
	t.Helper()
	begin := time.Now()
	ctx, cancel := context.WithTimeout(background(), 5*time.Second)
	defer cancel()
	for range 20 {
		if _, err := d.Runtime.ListContainers(ctx, &runtimeapi.ListContainersRequest{}); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Runtime.ListContainerStats(ctx, &runtimeapi.ListContainerStatsRequest{}); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Runtime.Status(ctx, &runtimeapi.StatusRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("60 reads took %s", took)
	}
}

// TestShimKilled: its containers are ended and say why; the pod gets another shim with
// the next container.
func TestShimKilled(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		watched(t, d)
		pod := d.RunPod(t)
		c, done := pod.Run(t), pod.Run(t, "sh", "-c", "exit 5")
		done.WaitExited(t)
		pid := d.PIDOf(t, c.ID)
		must(t, unix.Kill(shimPID(t, d, pod.ID), unix.SIGKILL))
		st := c.WaitExited(t)
		if st.GetExitCode() != 137 || !strings.Contains(st.GetMessage(), "shim") {
			t.Errorf("exit code %d, %s: %s", st.GetExitCode(), st.GetReason(), st.GetMessage())
		}
		if st := done.Status(t); st.GetExitCode() != 5 {
			t.Errorf("the container that had ended: exit code %d, was 5", st.GetExitCode())
		}
		daemon.Eventually(t, "gone: the container's process", func() bool { return unix.Kill(pid, 0) == unix.ESRCH })
		if got := pod.Run(t).Output(t, "hostname"); got != "berth-test\n" {
			t.Errorf("another container: hostname %q", got)
		}
		healthy(t, d)
	})
}

// TestShimKilledAtStart: a container that is started at the very moment at which the shim
// dies gets another shim, or fails; the others of the pod end all the same.
func TestShimKilledAtStart(t *testing.T) {
	either(t, func(t *testing.T, d *daemon.Daemon) {
		watched(t, d)
		for range 4 {
			pod := d.RunPod(t)
			running, next := pod.Run(t), pod.Create(t)
			must(t, unix.Kill(shimPID(t, d, pod.ID), unix.SIGKILL))
			_, err := d.Runtime.StartContainer(daemon.Context(t), &runtimeapi.StartContainerRequest{ContainerId: next.ID})
			if st := running.WaitExited(t); st.GetExitCode() != 137 {
				t.Errorf("exit code %d, %s: %s", st.GetExitCode(), st.GetReason(), st.GetMessage())
			}
			if err != nil {
				t.Logf("the container was not started: %v", err)
			} else if got := next.Output(t, "hostname"); got != "berth-test\n" {
				t.Errorf("the container that was started: hostname %q", got)
			}
			pod.Remove(t)
		}
		healthy(t, d)
	})
}

// TestShimKilledWhileDown: the same while no daemon is there to see it.
func TestShimKilledWhileDown(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		watched(t, d)
		pod := d.RunPod(t)
		c := pod.Run(t)
		pid, shim := d.PIDOf(t, c.ID), shimPID(t, d, pod.ID)
		d.Kill(t)
		must(t, unix.Kill(shim, unix.SIGKILL))
		d.Start(t)
		st := c.WaitExited(t)
		if st.GetExitCode() != 137 || !strings.Contains(st.GetMessage(), "shim") {
			t.Errorf("exit code %d, %s: %s", st.GetExitCode(), st.GetReason(), st.GetMessage())
		}
		daemon.Eventually(t, "gone: the container's process", func() bool { return unix.Kill(pid, 0) == unix.ESRCH })
		pod.Run(t)
		healthy(t, d)
	})
}

// TestShimStopped: a shim that does not answer holds up its own pod, within bounds, and
// nothing else. The pod can be removed.
func TestShimStopped(t *testing.T) {
	either(t, func(t *testing.T, d *daemon.Daemon) {
		watched(t, d)
		pod, other := d.RunPod(t), d.RunPod(t)
		c := pod.Run(t)
		shim := shimPID(t, d, pod.ID)
		must(t, unix.Kill(shim, unix.SIGSTOP))
		t.Cleanup(func() { _ = unix.Kill(shim, unix.SIGCONT) })
		quick(t, d)
		if got := other.Run(t).Output(t, "hostname"); got != "berth-test\n" {
			t.Errorf("another pod: hostname %q", got)
		}
		ctx, cancel := context.WithTimeout(background(), 3*time.Second)
		defer cancel()
		_, err := d.Runtime.ExecSync(ctx, &runtimeapi.ExecSyncRequest{ContainerId: c.ID, Cmd: []string{"true"}, Timeout: 1})
		if err == nil {
			t.Error("ExecSync succeeds with a shim that is stopped")
		}
		quick(t, d)
		begin := time.Now()
		pod.Remove(t)
		if took := time.Since(begin); took > 45*time.Second {
			t.Errorf("removing the pod took %s", took)
		}
		quick(t, d)
		healthy(t, d)
	})
}

// TestExecShimStopped: a command's timeout holds although the shim does not answer, and
// nothing of the command is left once it does.
func TestExecShimStopped(t *testing.T) {
	either(t, func(t *testing.T, d *daemon.Daemon) {
		watched(t, d)
		pod := d.RunPod(t)
		c := pod.Run(t)
		shim := shimPID(t, d, pod.ID)
		must(t, unix.Kill(shim, unix.SIGSTOP))
		begin := time.Now()
		_, err := d.Runtime.ExecSync(daemon.Context(t), &runtimeapi.ExecSyncRequest{ContainerId: c.ID, Cmd: []string{"true"}, Timeout: 1})
		if status.Code(err) != codes.DeadlineExceeded || time.Since(begin) > 20*time.Second {
			t.Errorf("after %s: %v", time.Since(begin), err)
		}
		must(t, unix.Kill(shim, unix.SIGCONT))
		if got := c.Output(t, "echo works"); got != "works\n" {
			t.Errorf("afterwards: %q", got)
		}
		healthy(t, d)
	})
}

// TestShimSocketsGone: somebody has removed the sockets of a shim.
func TestShimSocketsGone(t *testing.T) {
	either(t, func(t *testing.T, d *daemon.Daemon) {
		watched(t, d)
		pod := d.RunPod(t)
		c := pod.Run(t)
		must(t, os.Remove(d.Configuration.Paths().ShimTask(pod.ID)))
		must(t, os.Remove(d.Configuration.Paths().ShimControl(pod.ID)))
		quick(t, d)
		d.Kill(t)
		d.Start(t)
		st := c.WaitExited(t)
		if st.GetExitCode() != 137 {
			t.Errorf("exit code %d, %s: %s", st.GetExitCode(), st.GetReason(), st.GetMessage())
		}
		if got := pod.Run(t).Output(t, "hostname"); got != "berth-test\n" {
			t.Errorf("another container: hostname %q", got)
		}
		healthy(t, d)
	})
}

// TestRuncKilled: runc is killed in the middle of what it does.
func TestRuncKilled(t *testing.T) {
	daemon.Require(t)
	dir := t.TempDir()
	flag, wrapper := filepath.Join(dir, "flag"), filepath.Join(dir, "runc")
	bin, err := daemon.BinDir()
	must(t, err)
	// With the flag, runc is killed a moment after it began.
	script := fmt.Sprintf("#!/bin/sh\ncase \"$*\" in *\" $(cat %[1]s 2>/dev/null || echo none) \"*)\n"+
		"%[2]s/runc \"$@\" & pid=$!; sleep 0.0$(($$ %% 8)); kill -9 $pid; wait $pid; exit 137;;\nesac\nexec %[2]s/runc \"$@\"\n", flag, bin)
	must(t, os.WriteFile(wrapper, []byte(script), 0o755))
	for name, opts := range modes {
		t.Run(name, func(t *testing.T) {
			opts.Config = fmt.Sprintf("[runtime.handlers.runc]\npath = %q\n", wrapper)
			d := launch(t, opts)
			watched(t, d)
			pod := d.RunPod(t)
			for _, verb := range []string{"create", "start"} {
				for range 4 {
					c := pod.Create(t)
					must(t, os.WriteFile(flag, []byte(verb), 0o644))
					_, err := d.Runtime.StartContainer(daemon.Context(t), &runtimeapi.StartContainerRequest{ContainerId: c.ID})
					must(t, os.Remove(flag))
					st := c.Status(t)
					if err != nil && (st.GetState() != runtimeapi.ContainerState_CONTAINER_EXITED || st.GetReason() != "ContainerCannotRun") {
						t.Errorf("%s: after %v: %s, %s", verb, err, st.GetState(), st.GetReason())
					}
					c.Stop(t, 0)
					c.Remove(t)
				}
			}
			if got := pod.Run(t).Output(t, "hostname"); got != "berth-test\n" {
				t.Errorf("another container: hostname %q", got)
			}
			healthy(t, d)
		})
	}
}

// TestCgroupRemoved: somebody has moved the processes of a container away and removed its
// cgroup. It can be stopped and removed.
func TestCgroupRemoved(t *testing.T) {
	either(t, func(t *testing.T, d *daemon.Daemon) {
		watched(t, d)
		pod := d.RunPod(t)
		c := pod.Run(t)
		pid := d.PIDOf(t, c.ID)
		for _, group := range cgroupsOf(t, pid, c.ID) {
			top := "/sys/fs/cgroup/" + strings.SplitN(strings.TrimPrefix(group, "/sys/fs/cgroup/"), "/", 2)[0]
			procs, err := os.ReadFile(filepath.Join(group, "cgroup.procs"))
			must(t, err)
			for _, p := range strings.Fields(string(procs)) {
				must(t, os.WriteFile(filepath.Join(top, "cgroup.procs"), []byte(p), 0))
			}
			must(t, os.Remove(group))
		}
		quick(t, d)
		begin := time.Now()
		c.Stop(t, 1)
		if took := time.Since(begin); took > 10*time.Second {
			t.Errorf("StopContainer took %s", took)
		}
		if st := c.Status(t); st.GetState() != runtimeapi.ContainerState_CONTAINER_EXITED {
			t.Errorf("%s after StopContainer", st.GetState())
		}
		c.Remove(t)
		daemon.Eventually(t, "gone: the container's process", func() bool { return unix.Kill(pid, 0) == unix.ESRCH })
		healthy(t, d)
	})
}

// cgroupsOf are the directories of a container's cgroups, in all hierarchies.
func cgroupsOf(t *testing.T, pid int, id string) []string {
	t.Helper()
	out, err := exec.Command("find", "/sys/fs/cgroup", "-type", "d", "-name", "*"+id+"*").Output()
	must(t, err)
	dirs := strings.Fields(string(out))
	if len(dirs) == 0 {
		t.Fatalf("process %s is in no cgroup of its container", strconv.Itoa(pid))
	}
	return dirs
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestExecOfKilledDaemon: a command whose daemon is killed has lost its client; the next
// daemon ends it with all it started.
func TestExecOfKilledDaemon(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		watched(t, d)
		c := d.RunPod(t).Run(t)
		lost := make(chan error, 1)
		go func() {
			_, err := d.Runtime.ExecSync(background(), &runtimeapi.ExecSyncRequest{
				ContainerId: c.ID, Cmd: []string{"sh", "-c", "sleep 1234 & sleep 1234"},
			})
			lost <- err
		}()
		running := func() string {
			return strings.TrimSpace(c.Output(t, "ps | grep -c '[s]leep 1234' || true"))
		}
		daemon.Eventually(t, "the command and its child run", func() bool { n, _ := strconv.Atoi(running()); return n >= 2 })
		d.Kill(t)
		if err := <-lost; err == nil {
			t.Error("a command of a killed daemon succeeds")
		}
		d.Start(t)
		daemon.Eventually(t, "the command is ended", func() bool { return running() == "0" })
		daemon.Eventually(t, "its pipes are gone", func() bool {
			left, _ := filepath.Glob(filepath.Join(d.Configuration.Paths().Container(c.ID), "exec", "*"))
			return len(left) == 0
		})
	})
}
