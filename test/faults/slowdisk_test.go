package faults

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
)

const (
	// The ioctls of fsfreeze(8), see ioctl_fs.h: writers wait until the thaw.
	fiFreeze = 0xc0045877
	fiThaw   = 0xc0045878
	// floodLines are written as fast as the log takes them, 10,000 a second and more.
	floodLines = 60_000
	// stallTime is how long the disk stands still each time, much longer than any buffer
	// between container and disk lasts.
	stallTime = 700 * time.Millisecond
)

// stallingDisk is a file system on a loop device. stall holds it up for a moment.
func stallingDisk(t *testing.T) (dir string, stall func()) {
	t.Helper()
	daemon.Require(t)
	dir, err := os.MkdirTemp("", "sd-")
	must(t, err)
	image := dir + ".img"
	t.Cleanup(func() { _, _ = os.Remove(dir), os.Remove(image) })
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
	}
	must(t, os.WriteFile(image, nil, 0o600))
	must(t, os.Truncate(image, 64<<20))
	run("mkfs.ext4", "-q", "-F", image)
	run("mount", "-o", "loop", image, dir)
	d, err := os.Open(dir)
	must(t, err)
	fd := int(d.Fd())
	t.Cleanup(func() {
		_ = unix.IoctlSetInt(fd, fiThaw, 0)
		d.Close()
		_ = unix.Unmount(dir, unix.MNT_DETACH)
	})
	return dir, func() {
		must(t, unix.IoctlSetInt(fd, fiFreeze, 0))
		time.Sleep(stallTime) // this is the fault, not a wait for something
		must(t, unix.IoctlSetInt(fd, fiThaw, 0))
	}
}

// TestSlowLogDisk: a container that writes its log faster than the disk takes it is held
// up, as it would be on that disk itself. No line is lost or doubled, and what has its log
// elsewhere does not notice.
func TestSlowLogDisk(t *testing.T) {
	either(t, func(t *testing.T, d *daemon.Daemon) {
		watched(t, d)
		disk, stall := stallingDisk(t)
		other := d.RunPod(t).Run(t)
		pod := d.RunPod(t, daemon.WithPod(func(c *runtimeapi.PodSandboxConfig) { c.LogDirectory = disk }))
		c := pod.Run(t, "sh", "-c", "seq 1 "+strconv.Itoa(floodLines)+"; echo end")
		for range 4 {
			stall()
			if got := other.Output(t, "echo works"); got != "works\n" {
				t.Errorf("a container of another pod: %q", got)
			}
			quick(t, d)
		}
		if status := c.WaitExited(t); status.GetExitCode() != 0 {
			t.Errorf("exit code %d", status.GetExitCode())
		}
		want := new(strings.Builder)
		for n := range floodLines {
			want.WriteString(strconv.Itoa(n+1) + "\n")
		}
		if got := c.LogText(t, "stdout"); got != want.String()+"end\n" {
			t.Errorf("the log has %d bytes, should have %d: %.300q … %.300q", len(got), want.Len()+4, got, got[max(0, len(got)-300):])
		}
		must(t, os.RemoveAll(filepath.Dir(c.LogPath())+"/c.log"))
	})
}
