package hostile

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
	"github.com/berth-run/berth/test/images"
)

// TestDeepFilesAreCounted: what a container has put below more directories than the daemon may have descriptors counts as
// its disk use, by which the kubelet evicts, and measuring it takes no descriptors from others.
func TestDeepFilesAreCounted(t *testing.T) {
	daemon.Require(t)
	d := daemon.Start(t, daemon.Options{})
	d.Pull(t, images.Volumes)
	limit := unix.Rlimit{Cur: 500, Max: 500}
	if err := unix.Prlimit(d.PID(), unix.RLIMIT_NOFILE, &limit, nil); err != nil {
		t.Fatal(err)
	}
	c := d.RunPod(t).RunWith(t, daemon.WithImage(images.Volumes))
	nested := "/data/" + strings.Repeat("d/", 1000)
	c.Output(t, "mkdir -p "+nested+" && cd "+nested+" && head -c 5000000 /dev/urandom >f && sync")
	daemon.Eventually(t, "counted", func() bool {
		stats, err := d.Runtime.ContainerStats(daemon.Context(t), &runtimeapi.ContainerStatsRequest{ContainerId: c.ID})
		return err == nil && stats.GetStats().GetWritableLayer().GetUsedBytes().GetValue() >= 5_000_000
	})
}
