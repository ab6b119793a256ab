package hostile

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
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

// TestDeepDirectories: a container that nests directories deeper than the daemon has descriptors is removed with all
// that it wrote.
func TestDeepDirectories(t *testing.T) {
	d := target(t)
	c := d.RunPod(t).RunWith(t, daemon.WithImage(images.Volumes), asKubelet)
	c.Output(t, `for top in / /data; do cd $top && for i in $(seq 500); do mkdir d && cd d || exit 1; done; done`)
	layer := mountOption(t, d.PIDOf(t, c.ID), "upperdir=")
	c.Stop(t, 0)
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", d.PID()))
	if err != nil {
		t.Fatal(err)
	}
	var limit unix.Rlimit
	if err := unix.Prlimit(d.PID(), unix.RLIMIT_NOFILE, nil, &limit); err != nil {
		t.Fatal(err)
	}
	if err := unix.Prlimit(d.PID(), unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(len(open)) + 200, Max: limit.Max}, nil); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Prlimit(d.PID(), unix.RLIMIT_NOFILE, &limit, nil); err != nil {
			t.Error(err)
		}
	}()
	c.Remove(t)
	for _, dir := range []string{layer, d.Configuration.Paths().ContainerVolumes(c.ID)} {
		// containerd removes the directory of a layer later.
		if left, err := os.ReadDir(dir); len(left) > 0 || err != nil && !os.IsNotExist(err) {
			t.Errorf("in %s is still %v: %v", dir, left, err)
		}
	}
}

// mountOption is the value of an option of the root's mount, as a process sees it.
func mountOption(t *testing.T, pid int, name string) string {
	t.Helper()
	table, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, value, found := strings.Cut(string(table), name)
	if !found {
		t.Fatalf("no mount with %s", name)
	}
	return value[:strings.IndexAny(value, ",\n ")]
}
