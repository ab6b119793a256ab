package shim

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/berth-run/berth/internal/statedir"
)

var testPod = strings.Repeat("0123456789abcdef", 4)

// spec makes a state directory with the pod's in it, and the spec of a "shim" that is a script.
func spec(t *testing.T, script string) LaunchSpec {
	t.Helper()
	dir, err := os.MkdirTemp("", "shim")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.MkdirAll(PodDir(dir, testPod), 0o700); err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(dir, "shim.sh")
	if err := os.WriteFile(bin, []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return LaunchSpec{Binary: bin, PodID: testPod, StateDir: dir, ContainerdAddress: "/run/c.sock", TTRPCAddress: "/run/c.ttrpc"}
}

func TestLaunchRefuses(t *testing.T) {
	long := "/" + strings.Repeat("x", 100)
	for name, s := range map[string]LaunchSpec{
		"relative binary": {Binary: "berth-shim", PodID: testPod, StateDir: "/run/b"},
		"relative state":  {Binary: "/b", PodID: testPod, StateDir: "run"},
		"long state":      {Binary: "/b", PodID: testPod, StateDir: long},
		"short ID":        {Binary: "/b", PodID: "abc", StateDir: "/run/b"},
		"ID with a path":  {Binary: "/b", PodID: "../" + testPod[3:], StateDir: "/run/b"},
	} {
		if _, err := Launch(t.Context(), s); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestStateDirIsLongEnough compares the longest state directory with the longest path that a shim makes
// below it.
func TestStateDirIsLongEnough(t *testing.T) {
	dir := "/" + strings.Repeat("x", statedir.Max(false)-1)
	task, control, err := SocketPaths(dir, testPod)
	if err != nil {
		t.Fatal(err)
	}
	terminal := filepath.Join(tempDir(dir, testPod), "pty4294967295", "pty.sock") // as go-runc calls it
	if len(terminal) != statedir.MaxSocketPath {
		t.Errorf("%s has %d bytes, want %d", terminal, len(terminal), statedir.MaxSocketPath)
	}
	if len(task) > len(terminal) || len(control) > len(terminal) {
		t.Errorf("%s or %s is longer than %s", task, control, terminal)
	}
	if _, _, err := SocketPaths(dir+"x", testPod); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "45 are possible") {
		t.Errorf("a longer directory: %v", err)
	}
}

func TestLaunchFailureLeavesNothing(t *testing.T) {
	s := spec(t, "")
	s.Binary += ".missing"
	if _, err := Launch(t.Context(), s); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing binary: %v", err)
	}
	task, control, _ := SocketPaths(s.StateDir, testPod)
	for _, p := range []string{task, control, filepath.Join(PodDir(s.StateDir, testPod), infoFile)} {
		if _, err := os.Lstat(p); !os.IsNotExist(err) {
			t.Errorf("%s is left", p)
		}
	}
}

// sleeper stays for a while, whatever its arguments are.
const sleeper = `echo "$PWD" "$@" "$TTRPC_ADDRESS" "$BERTH_SHIM_CONTROL_FD"; test -S /proc/self/fd/3 && test -S /proc/self/fd/4 && echo sockets; exec sleep 60 <&-`

func TestLaunchPassesWhatTheShimNeeds(t *testing.T) {
	s := spec(t, sleeper)
	p, err := Launch(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Kill(t.Context())
	if sid, _, _ := syscall.Syscall(syscall.SYS_GETSID, uintptr(p.PID()), 0, 0); int(sid) != p.PID() {
		t.Errorf("session %d of shim %d", sid, p.PID())
	}
	dir := PodDir(s.StateDir, testPod)
	want := dir + " -namespace k8s.io -id " + testPod + " -address /run/c.sock /run/c.ttrpc 4\nsockets\n"
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		log, _ := os.ReadFile(filepath.Join(dir, logFile))
		if string(log) == want {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the shim saw %q, want %q", log, want)
		}
	}
	if err := p.Kill(t.Context()); err != nil || p.Alive() {
		t.Errorf("kill: %v", err)
	}
	if state, _, err := procStat(p.PID()); err == nil {
		t.Errorf("the process was not reaped: state %c", state)
	}
	if err := Cleanup(s.StateDir, testPod); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left in the pod's directory: %v", left)
	}
}

func TestFindAfterACrashWhileLaunching(t *testing.T) {
	s := spec(t, "")
	dir := PodDir(s.StateDir, testPod)
	task, control, _ := SocketPaths(s.StateDir, testPod)
	i := info{Version: infoVersion, PodID: testPod, StateDir: s.StateDir, Task: task, Control: control}
	if err := i.write(); err != nil {
		t.Fatal(err)
	}
	if _, err := Find(dir); !errdefs.IsNotFound(err) {
		t.Errorf("recorded, but not started: %v", err)
	}
	// Started, but the daemon died before it recorded the PID.
	cmd := exec.Command("/bin/sh", "-c", "read x", "-id", testPod, "-address")
	cmd.Dir = dir
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer in.Close()
	p, err := Find(dir)
	if err != nil || p.PID() != cmd.Process.Pid {
		t.Fatalf("Find = %+v, %v; want pid %d", p, err, cmd.Process.Pid)
	}
	// A damaged record does not make a second shim.
	if err := os.WriteFile(filepath.Join(dir, infoFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if p, err := Launch(t.Context(), s); err != nil || p.PID() != cmd.Process.Pid {
		t.Errorf("Launch with a damaged record: %+v, %v", p, err)
	}
}

func TestFindDoesNotTakeARecycledPID(t *testing.T) {
	s := spec(t, "")
	pid := os.Getpid()
	_, start, err := procStat(pid)
	if err != nil {
		t.Fatal(err)
	}
	i := info{Version: infoVersion, PodID: testPod, StateDir: s.StateDir, PID: pid, StartTime: start + 1}
	if err := i.write(); err != nil {
		t.Fatal(err)
	}
	if _, err := Find(PodDir(s.StateDir, testPod)); !errdefs.IsNotFound(err) {
		t.Errorf("another process was taken for the shim: %v", err)
	}
	i.Version = infoVersion + 1
	if err := i.write(); err != nil {
		t.Fatal(err)
	}
	if _, err := Find(PodDir(s.StateDir, testPod)); !errdefs.IsNotImplemented(err) {
		t.Errorf("a record from the future: %v", err)
	}
}
