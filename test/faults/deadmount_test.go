package faults

import (
	"context"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
)

// deadMount mounts a file system whose server never answers, as that of a network file system that is gone. The calls
// that wait for it get an error when the function that is returned is called.
func deadMount(t *testing.T) (dir string, end func()) {
	t.Helper()
	fuse, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("needs FUSE in the kernel: %v", err)
	}
	dir = t.TempDir()
	must(t, unix.Mount("dead", dir, "fuse", unix.MS_NOSUID|unix.MS_NODEV,
		fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fuse.Fd())))
	end = func() { _ = fuse.Close() }
	t.Cleanup(func() {
		end()
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir, end
}

// TestDeadMount: containers that wait for a volume on a dead file system, more of them than may start at a time, hold
// up nobody but themselves; they go with their pod.
func TestDeadMount(t *testing.T) {
	daemon.Require(t)
	d := launch(t, daemon.Options{Config: "[container]\nmax_concurrent_starts = 2\n"})
	dir, end := deadMount(t)
	d.CheckLeaks(t)
	stuck := d.RunPod(t)
	ctx, giveUp := context.WithCancel(daemon.Context(t))
	results := make(chan error)
	const many = 5
	for n := range many {
		r := stuck.CreateRequest(func(c *runtimeapi.ContainerConfig) {
			c.Metadata.Name = fmt.Sprint("stuck-", n)
			c.Mounts = append(c.Mounts, &runtimeapi.Mount{HostPath: dir + "/volume", ContainerPath: "/volume"})
		})
		go func() {
			_, err := d.Runtime.CreateContainer(ctx, r)
			results <- err
		}()
	}
	for range 3 {
		d.RunPod(t).Run(t, "sleep", "1000")
	}
	giveUp()
	for range many {
		if err := <-results; err == nil {
			t.Error("a container was made on a volume that does not answer")
		}
	}
	stuck.Stop(t)
	end()
}
