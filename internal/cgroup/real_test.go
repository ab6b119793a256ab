package cgroup

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
)

// realHost gives this machine's layout with the cgroupfs driver.
func realHost(t *testing.T) *Host {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root to make cgroups")
	}
	h, err := Detect("cgroupfs")
	if err != nil {
		t.Skip(err)
	}
	return h
}

// start runs a shell with two children in the cgroup and returns it.
func start(t *testing.T, paths Paths) *exec.Cmd {
	t.Helper()
	script := "read x; sleep 600 & sleep 600 & wait"
	cmd := exec.Command("sh", "-c", script)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	for _, dir := range paths.Dirs() {
		if _, err := os.Stat(dir); err != nil {
			continue
		}
		if err := write(filepath.Join(dir, "cgroup.procs"), strconv.Itoa(cmd.Process.Pid)); err != nil {
			t.Fatalf("join %s: %v", dir, err)
		}
	}
	if _, err := in.Write([]byte("go\n")); err != nil {
		t.Fatal(err)
	}
	return cmd
}

func TestRealPodCgroup(t *testing.T) {
	h := realHost(t)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	id := "test" + strconv.Itoa(os.Getpid())
	parent, own, err := h.PodParent("", id)
	if err != nil || !own {
		t.Fatal(parent, own, err)
	}
	t.Cleanup(func() { _ = h.RemovePod(context.Background(), parent) })
	for range 2 {
		if err := h.EnsurePod(ctx, parent); err != nil {
			t.Fatal(err)
		}
	}
	paths := h.Resolve(parent)
	for c, dir := range paths {
		// Device rules belong to containers: runc makes that directory when it needs it.
		if _, err := os.Stat(dir); err != nil && c != "devices" {
			t.Errorf("controller %q: %v", c, err)
		}
	}
	if err := h.UpdatePod(ctx, parent, &lcr{CpuShares: 1024, CpuQuota: 50000, CpuPeriod: 100000, MemoryLimitInBytes: 64 << 20},
		&lcr{MemoryLimitInBytes: 16 << 20}); err != nil {
		t.Fatal(err)
	}
	checkLimits(t, h, paths)

	cmd := start(t, paths)
	if err := h.Remove(ctx, paths); !errors.Is(err, errdefs.ErrFailedPrecondition) {
		t.Errorf("remove with processes: %v", err)
	}
	for range 2 {
		if err := h.RemovePod(ctx, parent); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("process ended with %v, want killed", err)
	}
	for c, dir := range paths {
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("controller %q: %s is left over", c, dir)
		}
	}
}

func checkLimits(t *testing.T, h *Host, paths Paths) {
	t.Helper()
	want := map[string]map[string]string{
		"cpu":    {"cpu.shares": "1024", "cpu.cfs_quota_us": "50000"},
		"memory": {"memory.limit_in_bytes": strconv.Itoa(80 << 20)},
	}
	if h.Mode == Unified {
		want = map[string]map[string]string{"": {"cpu.weight": "100", "cpu.max": "50000 100000", "memory.max": strconv.Itoa(80 << 20)}}
	}
	for c, files := range want {
		for f, v := range files {
			b, err := os.ReadFile(filepath.Join(paths[c], f))
			if err != nil || strings.TrimSpace(string(b)) != v {
				t.Errorf("%s = %q (%v), want %s", f, b, err, v)
			}
		}
	}
}

// A leftover can be in one hierarchy alone, where neither cgroup.kill nor the freezer reaches it.
func TestRealKillAllInOneHierarchy(t *testing.T) {
	h := realHost(t)
	if h.Mode == Unified {
		t.Skip("this host has one hierarchy only")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	paths := h.Resolve("/berth-test-one-" + strconv.Itoa(os.Getpid()) + "/c/d")
	only := Paths{"pids": paths["pids"]}
	if err := os.MkdirAll(only["pids"], 0o755); err != nil {
		t.Fatal(err)
	}
	top := h.Resolve("/berth-test-one-" + strconv.Itoa(os.Getpid()))
	t.Cleanup(func() { _ = h.KillAll(context.Background(), top); _ = h.Remove(context.Background(), top) })
	cmd := start(t, only)
	if err := h.KillAll(ctx, top); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("process has not been killed")
	}
	if err := h.Remove(ctx, top); err != nil {
		t.Error(err)
	}
}

func TestRealDaemonIsNoVictim(t *testing.T) {
	h := realHost(t)
	self, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(self)), "\n") {
		path := line[strings.LastIndex(line, ":")+1:]
		if err := h.KillAll(context.Background(), h.Resolve(path)); !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Fatalf("own cgroup %s: %v", path, err)
		}
	}
}
