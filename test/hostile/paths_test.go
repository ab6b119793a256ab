package hostile

import (
	"strings"
	"testing"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
	"github.com/berth-run/berth/test/images"
)

// TestLongPath: a container that makes a path which is, as the host sees it, longer than the kernel takes (PATH_MAX) neither ends the accounting of
// everybody's disk use nor hides its own.
func TestLongPath(t *testing.T) {
	d := target(t)
	c := d.RunPod(t).RunWith(t, daemon.WithImage(images.Volumes), asKubelet)
	c.Output(t, `name=`+strings.Repeat("d", 250)+`; for top in / /data; do
		cd $top && for i in $(seq 16); do mkdir $name && cd $name; done && dd if=/dev/zero of=f bs=1M count=3 2>/dev/null || exit 1
	done`)
	const written = 6 << 20
	daemon.Eventually(t, "measured: the container's layer and volume", func() bool {
		s, err := d.Runtime.ContainerStats(daemon.Context(t), &runtimeapi.ContainerStatsRequest{ContainerId: c.ID})
		return err == nil && s.GetStats().GetWritableLayer().GetUsedBytes().GetValue() >= written
	})
	d.Restart(t) // a daemon measures first when it is asked first
	info, err := d.Image.ImageFsInfo(daemon.Context(t), &runtimeapi.ImageFsInfoRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if got := info.GetContainerFilesystems()[0].GetUsedBytes().GetValue(); got < written {
		t.Errorf("containers take %d bytes, one of them has written %d", got, written)
	}
	if got := info.GetImageFilesystems()[0].GetUsedBytes().GetValue(); got == 0 {
		t.Error("images take no bytes")
	}
}
