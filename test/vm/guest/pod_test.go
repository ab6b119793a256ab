package guest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
)

// kubeletParent makes a pod's cgroup as the kubelet does, and gives its path in the tree.
func kubeletParent(t *testing.T, name string) string {
	t.Helper()
	parent := filepath.Join("/kubepods/burstable", name)
	at := cgroupRoot
	for _, part := range strings.Split(parent[1:], "/") {
		for _, c := range strings.Fields(file(t, at, "cgroup.controllers")) {
			if err := os.WriteFile(filepath.Join(at, "cgroup.subtree_control"), []byte("+"+c), 0); err != nil {
				t.Fatal(err)
			}
		}
		at = filepath.Join(at, part)
		if err := os.MkdirAll(at, 0o755); err != nil {
			t.Fatal(err)
		}
		dir := at
		t.Cleanup(func() { // the last first
			if err := os.Remove(dir); err != nil {
				t.Errorf("the pod's parent cannot be removed: %v: %v", err, cgroupsBelow(dir))
			}
		})
	}
	return parent
}

// TestPodResources changes the limits of pods: one with a cgroup of Berth's making, and one
// whose cgroup is the kubelet's.
func TestPodResources(t *testing.T) {
	d := use(t)
	parent := kubeletParent(t, "pod1")
	own := d.RunPod(t)
	given := d.RunPod(t, daemon.WithPod(func(c *runtimeapi.PodSandboxConfig) { c.Linux.CgroupParent = parent }))
	for name, pod := range map[string]*daemon.Pod{"own": own, "kubelet's": given} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Dir(dirOf(t, pod.Run(t)))
			if want := filepath.Join(cgroupRoot, parent); pod == given && dir != want {
				t.Errorf("the container's parent is %s, want %s", dir, want)
			}
			_, err := d.Runtime.UpdatePodSandboxResources(daemon.Context(t), &runtimeapi.UpdatePodSandboxResourcesRequest{
				PodSandboxId: pod.ID,
				Resources:    &resources{CpuShares: 1024, CpuQuota: 60000, CpuPeriod: 100000, MemoryLimitInBytes: 200 << 20, Unified: map[string]string{"memory.high": bytes(180 << 20)}},
				Overhead:     &resources{CpuQuota: 10000, CpuPeriod: 100000, MemoryLimitInBytes: 20 << 20},
			})
			if err != nil {
				t.Fatal(err)
			}
			wantFiles(t, dir, map[string]string{
				"cpu.weight": "100", "cpu.max": "70000 100000", "memory.max": bytes(220 << 20), "memory.high": bytes(180 << 20),
			})
		})
	}
	given.Remove(t)
	if _, err := os.Stat(filepath.Join(cgroupRoot, parent)); err != nil {
		t.Errorf("the kubelet's cgroup went with the pod: %v", err)
	}
}

// family starts grandchildren that ignore every signal they can.
const family = `trap '' TERM; n=0; while [ $n -lt 5 ]; do (trap '' TERM HUP INT; while :; do sleep 1; done) & n=$((n+1)); done
echo started; while :; do sleep 1; done`

// TestStopPod ends a pod whose processes do not want to, and looks that nothing of it stays.
func TestStopPod(t *testing.T) {
	d := use(t)
	for name, pid := range map[string]runtimeapi.NamespaceMode{
		"own PID namespaces": runtimeapi.NamespaceMode_CONTAINER, "shared": runtimeapi.NamespaceMode_POD, "the host's": runtimeapi.NamespaceMode_NODE,
	} {
		t.Run(name, func(t *testing.T) {
			pod := d.RunPod(t, daemon.WithNamespaces(runtimeapi.NamespaceMode_POD, runtimeapi.NamespaceMode_POD, pid))
			c := pod.RunWith(t, daemon.WithShell(family))
			c.WaitLog(t, "started\n")
			dir := dirOf(t, c)
			if n := len(strings.Fields(file(t, dir, "cgroup.procs"))); n < 6 {
				t.Errorf("%d processes in the cgroup", n)
			}
			pod.Stop(t)
			if status := c.Status(t); status.GetState() != runtimeapi.ContainerState_CONTAINER_EXITED || status.GetExitCode() != 137 {
				t.Errorf("after the pod's end: %s with %d", status.GetState(), status.GetExitCode())
			}
			if left := cgroupsBelow(filepath.Dir(dir)); len(left) > 0 {
				t.Errorf("left over: %q", left)
			}
		})
	}
}

// TestSharedPID looks at a pod's processes from each of its containers.
func TestSharedPID(t *testing.T) {
	pod := use(t).RunPod(t, daemon.WithNamespaces(runtimeapi.NamespaceMode_POD, runtimeapi.NamespaceMode_POD, runtimeapi.NamespaceMode_POD))
	one, two := pod.Run(t, "sleep", "1001"), pod.Run(t, "sleep", "1002")
	for _, c := range []*daemon.Container{one, two} {
		got := c.Output(t, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
		if !strings.Contains(got, "sleep 1001") || !strings.Contains(got, "sleep 1002") {
			t.Errorf("processes: %q", got)
		}
	}
	if a, b := dirOf(t, one), dirOf(t, two); a == b || filepath.Dir(a) != filepath.Dir(b) {
		t.Errorf("cgroups %s and %s", a, b)
	}
}
