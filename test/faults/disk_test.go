package faults

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
	"github.com/berth-run/berth/test/images"
)

// smallDisk makes all of a daemon's directories lie on a file system of their own.
func smallDisk(t *testing.T, options string) (dir string) {
	t.Helper()
	daemon.Require(t)
	dir, err := os.MkdirTemp("", "fd-")
	must(t, err)
	must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, options))
	t.Cleanup(func() {
		_ = unix.Unmount(dir, unix.MNT_DETACH)
		_ = os.Remove(dir)
	})
	t.Setenv("TMPDIR", dir)
	return dir
}

// fillBlocks writes until nothing more fits.
func fillBlocks(t *testing.T, dir string) (free func()) {
	t.Helper()
	name := filepath.Join(dir, "filler")
	f, err := os.Create(name)
	must(t, err)
	defer f.Close()
	for size := 1 << 20; size >= 1; size /= 16 {
		for b := make([]byte, size); ; {
			if _, err := f.Write(b); err != nil {
				if !errors.Is(err, unix.ENOSPC) {
					t.Fatal(err)
				}
				break
			}
		}
	}
	return func() { must(t, os.Remove(name)) }
}

// fillInodes makes files until no more can be made.
func fillInodes(t *testing.T, dir string) (free func()) {
	t.Helper()
	names := filepath.Join(dir, "fillers")
	must(t, os.Mkdir(names, 0o755))
	for n := 0; ; n++ {
		f, err := os.Create(filepath.Join(names, fmt.Sprint(n)))
		if errors.Is(err, unix.ENOSPC) {
			break
		}
		must(t, err)
		f.Close()
	}
	return func() { must(t, os.RemoveAll(names)) }
}

// TestDiskFull: without room, or without inodes, calls fail and say why; what runs goes on
// running; what was begun is undone or can be removed; with room again all is well.
func TestDiskFull(t *testing.T) {
	for name, c := range map[string]struct {
		options string
		fill    func(*testing.T, string) func()
	}{
		"blocks": {"size=300m", fillBlocks},
		"inodes": {"size=1g,nr_inodes=6000", fillInodes},
	} {
		t.Run(name, func(t *testing.T) {
			dir := smallDisk(t, c.options)
			d := launch(t, daemon.Options{})
			watched(t, d)
			pod := d.RunPod(t)
			running, created := pod.Run(t), pod.Create(t)
			podRequest, ctrRequest := d.PodRequest(t), pod.CreateRequest()
			free := c.fill(t, dir)

			_, err := d.Runtime.RunPodSandbox(daemon.Context(t), podRequest)
			noRoom(t, "RunPodSandbox", err)
			_, err = d.Runtime.CreateContainer(daemon.Context(t), ctrRequest)
			noRoom(t, "CreateContainer", err)
			_, err = d.Runtime.StartContainer(daemon.Context(t), &runtimeapi.StartContainerRequest{ContainerId: created.ID})
			noRoom(t, "StartContainer", err)
			_, err = d.Image.PullImage(daemon.Context(t), &runtimeapi.PullImageRequest{Image: &runtimeapi.ImageSpec{Image: images.Big}})
			noRoom(t, "PullImage", err)
			quick(t, d)
			if st := running.State(t); st != runtimeapi.ContainerState_CONTAINER_RUNNING {
				t.Errorf("a container that ran is %s", st)
			}
			// A daemon that is killed now comes up again, or at least does when there is room.
			d.Kill(t)
			free()
			d.Start(t)

			d.RunPodRequest(t, podRequest)
			if got := pod.CreateFrom(t, ctrRequest); got.ID == "" {
				t.Error("no container")
			}
			if got := running.Output(t, "hostname"); got != "berth-test\n" {
				t.Errorf("hostname %q", got)
			}
			d.Pull(t, images.Big)
			healthy(t, d)
		})
	}
}

// noRoom expects an error that says what is missing, if there is one: some calls get by
// with what is left.
func noRoom(t *testing.T, call string, err error) {
	t.Helper()
	if err == nil {
		t.Logf("%s: got by with what is left", call)
		return
	}
	if !strings.Contains(err.Error(), "no space left") {
		t.Errorf("%s: does not say that the disk is full: %v", call, err)
	}
}

// TestLogDiskFull: a container goes on writing when its log cannot be written, and the log
// says what it lost when there is room again.
func TestLogDiskFull(t *testing.T) {
	either(t, func(t *testing.T, d *daemon.Daemon) {
		watched(t, d)
		disk, err := os.MkdirTemp("", "fl-")
		must(t, err)
		must(t, unix.Mount("tmpfs", disk, "tmpfs", 0, "size=1m"))
		t.Cleanup(func() {
			_ = unix.Unmount(disk, unix.MNT_DETACH)
			_ = os.Remove(disk)
		})
		pod := d.RunPod(t, daemon.WithPod(func(c *runtimeapi.PodSandboxConfig) { c.LogDirectory = disk }))
		// It notes how far it has come in its own file system, which is not full.
		c := pod.Run(t, "sh", "-c", `exec 3>/at; i=0; while [ ! -e /stop ]; do i=$((i+1)); echo "line $i"; echo $i >&3; [ $((i % 500)) = 0 ] && sleep 0.01; done; echo "last $i"`)
		c.WaitLog(t, "line 100")
		fillBlocks(t, disk)
		at := c.Output(t, "tail -n 1 /at")
		time.Sleep(500 * time.Millisecond)
		if now := c.Output(t, "tail -n 1 /at"); now == at {
			t.Errorf("the container stands still at line %s", at)
		}
		must(t, unix.Mount("tmpfs", disk, "tmpfs", unix.MS_REMOUNT, "size=64m"))
		c.WaitLog(t, "lost")
		c.ExecSync(t, "touch", "/stop") // the end of the container may kill the command before the command ends by itself
		c.WaitExited(t)
		raw, err := os.ReadFile(c.LogPath())
		must(t, err)
		text := string(raw)
		if !strings.Contains(text, "last ") {
			t.Error("the last line is missing")
		}
	})
}
