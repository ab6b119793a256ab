package cgroup

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// deadThreadEnv makes this program one whose main thread ends while others of it live.
const deadThreadEnv = "BERTH_TEST_DEAD_THREAD"

func init() {
	if os.Getenv(deadThreadEnv) != "" {
		runtime.LockOSThread() // init runs on the main thread
		_, _ = os.Stdin.Read(make([]byte, 1))
		_, _, _ = unix.RawSyscall(unix.SYS_EXIT, 0, 0, 0)
	}
}

// TestRealDeadMainThread: a process whose main thread is dead, as a seccomp profile with SCMP_ACT_KILL leaves one, is
// killed with the others. The kernel's cgroup.kill does not reach it.
func TestRealDeadMainThread(t *testing.T) {
	h := realHost(t)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	parent, _, err := h.PodParent("", "dead"+strconv.Itoa(os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.RemovePod(context.Background(), parent) })
	if err := h.EnsurePod(ctx, parent); err != nil {
		t.Fatal(err)
	}
	paths := h.Resolve(parent)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), deadThreadEnv+"=1")
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	for _, dir := range paths.Dirs() {
		if _, err := os.Stat(dir); err == nil {
			if err := write(filepath.Join(dir, "cgroup.procs"), strconv.Itoa(cmd.Process.Pid)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := in.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	for status := fmt.Sprintf("/proc/%d/status", cmd.Process.Pid); ; time.Sleep(time.Millisecond) {
		if text, err := os.ReadFile(status); err != nil || bytes.Contains(text, []byte("State:\tZ")) {
			break
		}
		if ctx.Err() != nil {
			t.Fatal("the main thread does not end")
		}
	}
	if pids, err := h.PIDs(paths); err != nil || len(pids) != 1 || pids[0] != cmd.Process.Pid {
		t.Errorf("PIDs: %v, %v; want %d", pids, err, cmd.Process.Pid)
	}
	if err := h.KillAll(ctx, paths); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the process ended by itself")
	}
}
