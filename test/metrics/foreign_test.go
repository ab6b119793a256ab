package metrics_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
	"github.com/berth-run/berth/test/metrics"
)

// elsewhereRunc puts containers into another control group than it was told, for which nobody on
// the host looks: to berthd they are like those in a virtual machine.
const elsewhereRunc = `#!/bin/sh
before=
for arg; do
	if [ "$before" = --bundle ] && [ -e "$arg/config.json" ]; then
		sed -i 's#"cgroupsPath":"[^"]*/#"cgroupsPath":"/%s/#' "$arg/config.json"
	fi
	before=$arg
done
exec %s/runc "$@"
`

// Containers without a control group on the host have the figures that their shim gives, and a
// shim that does not answer costs its own containers' only.
func TestForeignFigures(t *testing.T) {
	daemon.Require(t)
	bin, err := daemon.BinDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	group, runc := "berth-"+filepath.Base(filepath.Dir(dir)), filepath.Join(dir, "runc")
	if err := os.WriteFile(runc, fmt.Appendf(nil, elsewhereRunc, group, bin), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeGroups(t, group) })
	d := daemon.Start(t, daemon.Options{Config: fmt.Sprintf("[runtime.handlers.elsewhere]\n"+
		"shim = %q\noptions = { binary_name = %q }\n", filepath.Join(bin, "containerd-shim-runc-v2"), runc)})
	pod := d.RunPod(t, daemon.WithHandler("elsewhere"))
	held := pod.RunWith(t, named("held", nil, "memhog", "-mb", "64")...)
	here := d.RunPod(t).RunWith(t, named("here", nil, "memhog", "-mb", "32")...)
	var got *runtimeapi.ContainerStats
	metrics.Eventually(t, 30*time.Second, "figures from the shim", func() bool {
		got = stats(t, d, held.ID)
		return got.GetMemory().GetWorkingSetBytes().GetValue() >= 64<<20
	})
	if got.GetMemory().GetWorkingSetBytes().GetValue() > 80<<20 || got.GetCpu().GetUsageCoreNanoSeconds().GetValue() == 0 {
		t.Errorf("figures from the shim: %v", got)
	}

	shim := parentOf(t, d.PIDOf(t, held.ID))
	if err := unix.Kill(shim, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer unix.Kill(shim, unix.SIGCONT) //nolint:errcheck // it may have ended
	age := got.GetMemory().GetTimestamp()
	for deadline := time.Now().Add(8 * time.Second); time.Now().Before(deadline); time.Sleep(500 * time.Millisecond) {
		begin := time.Now()
		if stats(t, d, here.ID).GetMemory().GetWorkingSetBytes().GetValue() < 32<<20 {
			t.Fatal("a container beside it has no figures")
		}
		if took := time.Since(begin); took > 2*time.Second { // the deadline of a shim
			t.Fatalf("a container beside it waited for the shim: %s", took)
		}
	}
	if err := unix.Kill(shim, unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	metrics.Eventually(t, 30*time.Second, "newer figures of the shim", func() bool {
		return stats(t, d, held.ID).GetMemory().GetTimestamp() > age+int64(8*time.Second)
	})
}

func stats(t *testing.T, d *daemon.Daemon, id string) *runtimeapi.ContainerStats {
	t.Helper()
	r, err := d.Runtime.ContainerStats(daemon.Context(t), &runtimeapi.ContainerStatsRequest{ContainerId: id})
	if err != nil {
		t.Fatal(err)
	}
	return r.GetStats()
}

// parentOf is the parent of a process.
func parentOf(t *testing.T, pid int) int {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	var state string
	var parent int
	if _, err := fmt.Sscan(string(raw[bytes.LastIndexByte(raw, ')')+1:]), &state, &parent); err != nil {
		t.Fatal(err)
	}
	return parent
}

// removeGroups removes a control group, empty by then, from all hierarchies.
func removeGroups(t *testing.T, name string) {
	t.Helper()
	found, _ := filepath.Glob("/sys/fs/cgroup/*/" + name)
	for _, dir := range append(found, "/sys/fs/cgroup/"+name) {
		if err := os.Remove(dir); err != nil && !os.IsNotExist(err) {
			t.Error(err)
		}
	}
}
