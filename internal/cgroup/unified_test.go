package cgroup

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/cgroups"
)

// fixture makes a v2 tree out of ordinary files. The kernel's behaviour is not in it,
// only which files are written with what.
func fixture(t *testing.T, files map[string]string) *Host {
	t.Helper()
	cgroups.TestMode = true // lets the library take ordinary files for a cgroupfs
	t.Cleanup(func() { cgroups.TestMode = false })
	root := t.TempDir()
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return &Host{Root: root, Driver: Cgroupfs, Mode: Unified}
}

func (h *Host) read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(h.Root, name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

func TestUnifiedEnsurePod(t *testing.T) {
	h := fixture(t, map[string]string{
		"cgroup.controllers": "memory", "cgroup.subtree_control": "",
		"berth/cgroup.controllers": "memory", "berth/cgroup.subtree_control": "",
	})
	for range 2 {
		if err := h.EnsurePod(context.Background(), "/berth/p1"); err != nil {
			t.Fatal(err)
		}
	}
	if st, err := os.Stat(filepath.Join(h.Root, "berth/p1")); err != nil || !st.IsDir() {
		t.Errorf("pod cgroup: %v", err)
	}
	for _, f := range []string{"cgroup.subtree_control", "berth/cgroup.subtree_control"} {
		if got := h.read(t, f); got != "+memory" {
			t.Errorf("%s = %q", f, got)
		}
	}
	if err := h.EnsurePod(context.Background(), "/kubepods/p1"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(h.Root, "kubepods")); err == nil {
		t.Error("a parent that was given has been made")
	}
}

func TestUnifiedUpdatePod(t *testing.T) {
	h := fixture(t, map[string]string{
		"kubepods/p1/cgroup.controllers": "cpu memory hugetlb",
		"kubepods/p1/cpu.weight":         "100", "kubepods/p1/cpu.max": "max 100000",
		"kubepods/p1/memory.max": "max", "kubepods/p1/memory.swap.max": "max",
	})
	res := &lcr{CpuShares: 1024, CpuQuota: 20000, CpuPeriod: 100000, MemoryLimitInBytes: 1000}
	if err := h.UpdatePod(context.Background(), "/kubepods/p1", res, &lcr{MemoryLimitInBytes: 24, CpuQuota: 5000}); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		"cpu.weight": "100", "cpu.max": "25000 100000", "memory.max": "1024", "memory.swap.max": "max",
	} {
		if got := h.read(t, "kubepods/p1/"+file); got != want {
			t.Errorf("%s = %q, want %q", file, got, want)
		}
	}
	if err := h.UpdatePod(context.Background(), "/kubepods/absent", res, nil); !errors.Is(err, errdefs.ErrNotFound) {
		t.Errorf("absent cgroup: %v", err)
	}
	if err := h.UpdatePod(context.Background(), "/", res, nil); !errors.Is(err, errdefs.ErrInvalidArgument) {
		t.Errorf("root cgroup: %v", err)
	}
}

func TestUnifiedKillAll(t *testing.T) {
	h := fixture(t, map[string]string{
		"p1/cgroup.kill": "", "p1/cgroup.events": "populated 1\nfrozen 0\n", "p1/cgroup.procs": "",
	})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if err := h.KillAll(ctx, h.Resolve("/p1")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with a process that stays: %v", err)
	}
	if got := h.read(t, "p1/cgroup.kill"); got != "1" {
		t.Errorf("cgroup.kill = %q", got)
	}
	if err := os.WriteFile(filepath.Join(h.Root, "p1/cgroup.events"), []byte("populated 0\nfrozen 0\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := h.KillAll(context.Background(), h.Resolve("/p1")); err != nil {
		t.Error(err)
	}
	if err := h.KillAll(context.Background(), h.Resolve("/absent")); err != nil {
		t.Errorf("absent cgroup: %v", err)
	}
	for _, bad := range []Paths{{"": h.Root}, {"": "/proc"}, h.Resolve("/")} {
		if err := h.KillAll(context.Background(), bad); !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Errorf("%v: %v", bad, err)
		}
	}
}
