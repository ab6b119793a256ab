package integration

import (
	"os"
	"testing"

	"google.golang.org/grpc/codes"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
)

// TestLimitBelowUse: a memory limit below what is in use is refused with the same code for a container as
// for its pod, and a value that can never be is another matter. On cgroup v2 the kernel takes any limit.
func TestLimitBelowUse(t *testing.T) {
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		t.Skip("cgroup v2 reclaims memory instead of refusing the limit")
	}
	both(t, func(t *testing.T, d *daemon.Daemon) {
		pod := d.RunPod(t)
		c := pod.Run(t)
		c.Output(t, "head -c 40000000 /dev/zero > /dev/shm/full")
		low := &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 5 << 20}
		_, err := d.Runtime.UpdateContainerResources(daemon.Context(t), &runtimeapi.UpdateContainerResourcesRequest{ContainerId: c.ID, Linux: low})
		wantCode(t, err, codes.FailedPrecondition, "memory")
		_, err = d.Runtime.UpdatePodSandboxResources(daemon.Context(t), &runtimeapi.UpdatePodSandboxResourcesRequest{PodSandboxId: pod.ID, Resources: low})
		wantCode(t, err, codes.FailedPrecondition, "memory")
	})
}
