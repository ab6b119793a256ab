package metrics

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
	"github.com/berth-run/berth/test/images"
)

// TestEndedCgroupsAreClosed: the daemon keeps no directory of a cgroup open that is gone, also when nobody asks
// for figures any more: an open directory keeps the cgroup and its memory in the kernel.
func TestEndedCgroupsAreClosed(t *testing.T) {
	d := daemon.Start(t, daemon.Options{})
	d.Pull(t, images.Busybox)
	var pods []*daemon.Pod
	for range 5 {
		pod := d.RunPod(t)
		pod.Run(t, "sleep", "1000")
		pods = append(pods, pod)
	}
	if _, err := d.Runtime.ListPodSandboxStats(daemon.Context(t), &runtimeapi.ListPodSandboxStatsRequest{}); err != nil {
		t.Fatal(err)
	}
	if len(cgroupDescriptors(t, d)) == 0 {
		t.Fatal("no directory of a cgroup is open while pods run: the test looks for the wrong thing")
	}
	for _, pod := range pods {
		pod.Remove(t)
	}
	var open []string
	d.Await(t, "the end of all descriptors of cgroups that are gone", func() bool {
		open = cgroupDescriptors(t, d)
		return len(open) == 0
	})
}

// cgroupDescriptors are the directories of pods' and containers' cgroups that the daemon has open.
func cgroupDescriptors(t *testing.T, d *daemon.Daemon) []string {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", d.PID())
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join(dir, e.Name()))
		if err == nil && strings.HasPrefix(target, "/sys/fs/cgroup/") && len(filepath.Base(strings.TrimSuffix(target, " (deleted)"))) >= 32 {
			out = append(out, target)
		}
	}
	return out
}
