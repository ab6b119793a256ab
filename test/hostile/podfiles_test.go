package hostile

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/internal/budget"
	"github.com/berth-run/berth/test/daemon"
)

// available is how many bytes the file system at path has left.
func available(t *testing.T, path string) int64 {
	t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		t.Fatal(err)
	}
	return int64(st.Bavail) * st.Bsize
}

// TestPodFilesAreBounded has a root container write to each file that its pod gives it, until there
// is no room: what it can take is bounded, and other pods start.
func TestPodFilesAreBounded(t *testing.T) {
	d := target(t)
	for name, o := range map[string]*runtimeapi.NamespaceOption{
		"host users":     {Pid: runtimeapi.NamespaceMode_CONTAINER},
		"host network":   {Pid: runtimeapi.NamespaceMode_CONTAINER, Network: runtimeapi.NamespaceMode_NODE},
		"user namespace": {Pid: runtimeapi.NamespaceMode_CONTAINER, UsernsOptions: userNamespace(65536)},
	} {
		t.Run(name, func(t *testing.T) {
			pod := d.RunPod(t, daemon.WithPod(func(c *runtimeapi.PodSandboxConfig) { c.Linux.SecurityContext.NamespaceOptions = o }))
			c := pod.Run(t)
			before := available(t, d.Configuration.State)
			// Four times the bound, were there none.
			got := c.Output(t, `for f in hostname hosts resolv.conf; do dd if=/dev/zero of=/etc/$f bs=64k count=64 conv=notrunc 2>&1 | grep -o 'No space left.*'; done; true`)
			if full := strings.Count(got, "No space left"); full != 3 && o.UsernsOptions == nil || full == 0 {
				t.Errorf("%d of 3 files have met a bound: %q", full, got)
			}
			if taken := before - available(t, d.Configuration.State); taken > budget.PodFiles {
				t.Errorf("the container took %d bytes of the state directory", taken)
			}
			d.RunPod(t).Run(t).Output(t, "cat /etc/hostname")
		})
	}
}

// TestPodFilesAfterUpgrade gives a pod of an older version, which had its files in the state
// directory's file system, files for its next containers.
func TestPodFilesAfterUpgrade(t *testing.T) {
	daemon.Require(t)
	d := daemon.Start(t, daemon.Options{})
	pod := d.RunPod(t)
	files := d.Configuration.Paths().PodFiles(pod.ID)
	d.Kill(t)
	<-d.Exited()
	if err := unix.Unmount(files, unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(files); err != nil {
		t.Fatal(err)
	}
	d.Start(t)
	if got := pod.Run(t).Output(t, "cat /etc/hostname"); got != "berth-test\n" {
		t.Errorf("/etc/hostname is %q", got)
	}
}
