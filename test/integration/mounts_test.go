package integration

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
	"github.com/berth-run/berth/test/images"
)

func ownerOf(info os.FileInfo) uint32 { return info.Sys().(*syscall.Stat_t).Uid }

// mountTmpfs mounts a file system on the host until the end of the test.
func mountTmpfs(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
}

// succeeds reports whether a script does in the container.
func succeeds(t *testing.T, c *daemon.Container, script string) bool {
	t.Helper()
	return c.ExecSync(t, "sh", "-c", script).GetExitCode() == 0
}

// TestBindMounts mounts directories of the host, with another file system in them.
func TestBindMounts(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		dir := t.TempDir()
		mountTmpfs(t, filepath.Join(dir, "sub"))
		touch(t, dir, "sub", "seen")
		target := filepath.Join(t.TempDir(), "link")
		if err := os.Symlink(dir, target); err != nil {
			t.Fatal(err)
		}
		status, err := d.Runtime.Status(daemon.Context(t), &runtimeapi.StatusRequest{})
		if err != nil {
			t.Fatal(err)
		}
		recursive := status.GetRuntimeHandlers()[0].GetFeatures().GetRecursiveReadOnlyMounts()
		c := d.RunPod(t).RunWith(t,
			withMount(&runtimeapi.Mount{HostPath: dir, ContainerPath: "/rw"}),
			withMount(&runtimeapi.Mount{HostPath: target, ContainerPath: "/link"}),
			withMount(&runtimeapi.Mount{HostPath: dir, ContainerPath: "/ro", Readonly: true}),
			withMount(&runtimeapi.Mount{HostPath: dir, ContainerPath: "/rro", Readonly: true, RecursiveReadOnly: recursive}),
			withMount(&runtimeapi.Mount{HostPath: dir, ContainerPath: "/options", MountOptions: []string{"noexec", "nosuid", "nodev"}}))
		for script, works := range map[string]bool{
			"touch /rw/a /rw/sub/a && ls /rw/sub/seen /link/a": true,
			"touch /ro/b":      false,
			"touch /ro/sub/b":  true, // read-only is for the mount itself alone
			"touch /rro/c":     false,
			"touch /rro/sub/c": !recursive,
			"touch /options/d": true,
			"cp /bin/busybox /rw/busybox && chmod 755 /rw/busybox && /rw/busybox true": true,
			"/options/busybox true": false,
			"grep ' /options ' /proc/mounts | grep nosuid | grep nodev | grep noexec": true,
		} {
			if succeeds(t, c, script) != works {
				t.Errorf("%s: works is to be %v", script, works)
			}
		}
		if !recursive {
			t.Log("recursive read-only mounts are not advertised here")
		}
	})
}

// TestPropagation mounts on the host what a container is to see, and the other way round.
func TestPropagation(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		dir := t.TempDir()
		pod := d.RunPod(t, daemon.WithPod(func(c *runtimeapi.PodSandboxConfig) { c.Linux.SecurityContext.Privileged = true }))
		private := pod.CreateRequest(withMount(&runtimeapi.Mount{
			HostPath: dir, ContainerPath: "/mnt", Propagation: runtimeapi.MountPropagation_PROPAGATION_BIDIRECTIONAL,
		}))
		_, err := d.Runtime.CreateContainer(daemon.Context(t), private)
		wantCode(t, err, codes.FailedPrecondition, "shared")

		mountTmpfs(t, dir)
		if err := unix.Mount("", dir, "", unix.MS_SHARED, ""); err != nil {
			t.Fatal(err)
		}
		for _, sub := range []string{"host", "container"} {
			if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		at := func(path string, p runtimeapi.MountPropagation) daemon.ContainerOption {
			return withMount(&runtimeapi.Mount{HostPath: dir, ContainerPath: path, Propagation: p})
		}
		c := pod.RunWith(t, security(func(s *runtimeapi.LinuxContainerSecurityContext) { s.Privileged = true }),
			at("/private", runtimeapi.MountPropagation_PROPAGATION_PRIVATE),
			at("/slave", runtimeapi.MountPropagation_PROPAGATION_HOST_TO_CONTAINER),
			at("/shared", runtimeapi.MountPropagation_PROPAGATION_BIDIRECTIONAL))
		mountTmpfs(t, filepath.Join(dir, "host"))
		touch(t, dir, "host", "file")
		c.Output(t, "mount -t tmpfs tmpfs /shared/container && touch /shared/container/file")
		defer func() { _ = unix.Unmount(filepath.Join(dir, "container"), unix.MNT_DETACH) }()
		if _, err := os.Stat(filepath.Join(dir, "container", "file")); err != nil {
			t.Errorf("a mount of the container is not on the host: %v", err)
		}
		for path, seen := range map[string]bool{
			"/private/host/file": false, "/slave/host/file": true, "/shared/host/file": true,
			"/slave/container/file": true, "/private/container/file": false,
		} {
			if succeeds(t, c, "test -e "+path) != seen {
				t.Errorf("%s: seen is to be %v", path, seen)
			}
		}
	})
}

// TestImageMounts mounts an image, and a part of it, into a container (KEP-4639).
func TestImageMounts(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		id := d.Pull(t, images.Groups)
		image := &runtimeapi.ImageSpec{Image: images.Groups}
		pod := d.RunPod(t)
		c := pod.RunWith(t,
			withMount(&runtimeapi.Mount{ContainerPath: "/image", Image: image, Readonly: true}),
			withMount(&runtimeapi.Mount{ContainerPath: "/part", Image: image, ImageSubPath: "etc", Readonly: true}))
		if got := c.Output(t, "cat /image/etc/passwd /part/group"); !strings.Contains(got, "alice:x:1000") || !strings.Contains(got, "wheel:x:3000") {
			t.Errorf("%q", got)
		}
		if succeeds(t, c, "touch /image/file") || succeeds(t, c, "touch /part/file") {
			t.Error("the image can be written to")
		}
		status, err := d.Runtime.ContainerStatus(daemon.Context(t), &runtimeapi.ContainerStatusRequest{ContainerId: c.ID})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range status.GetStatus().GetMounts() { // KEP-5365
			if m.GetImage().GetImageRef() != id || m.GetImage().GetImage() != images.Groups {
				t.Errorf("the status says that %v is at %s, want image_ref %s", m.GetImage(), m.GetContainerPath(), id)
			}
		}
		r := pod.CreateRequest(withMount(&runtimeapi.Mount{ContainerPath: "/x", Image: image, ImageSubPath: "no/such", Readonly: true}))
		_, err = d.Runtime.CreateContainer(daemon.Context(t), r)
		wantCode(t, err, codes.NotFound, "no/such", images.Groups)
		absent := &runtimeapi.ImageSpec{Image: "example.net/absent:1"}
		_, err = d.Runtime.CreateContainer(daemon.Context(t), pod.CreateRequest(withMount(&runtimeapi.Mount{ContainerPath: "/x", Image: absent, Readonly: true})))
		wantCode(t, err, codes.NotFound, "mounts[0].image", absent.GetImage())
	})
}

// TestImageVolumes gives the container directories for what the image declares.
func TestImageVolumes(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		pod := d.RunPod(t)
		a := pod.RunWith(t, daemon.WithImage(images.Volumes))
		b := pod.RunWith(t, daemon.WithImage(images.Volumes))
		if got := a.Output(t, "cat /data/seed; touch /data/a; grep -c ' /data \\| /var/cache/app ' /proc/mounts"); got != "from the image\n2\n" {
			t.Errorf("%q", got)
		}
		if succeeds(t, b, "test -e /data/a") {
			t.Error("two containers share the volume of their image")
		}
	})
}

// TestImageVolumesAreCounted: what a container writes to the volumes of its image counts as its writable layer, by which
// the kubelet evicts pods, and as the use of containers of the node's disk.
func TestImageVolumesAreCounted(t *testing.T) {
	t.Parallel()
	d := daemon.Start(t, daemon.Options{})
	c := d.RunPod(t).RunWith(t, daemon.WithImage(images.Volumes))
	c.Output(t, "head -c 20000000 /dev/urandom >/data/large; sync")
	daemon.Eventually(t, "counted for the container", func() bool {
		stats, err := d.Runtime.ContainerStats(daemon.Context(t), &runtimeapi.ContainerStatsRequest{ContainerId: c.ID})
		return err == nil && stats.GetStats().GetWritableLayer().GetUsedBytes().GetValue() >= 20_000_000
	})
	daemon.Eventually(t, "counted for the node", func() bool {
		info, err := d.Image.ImageFsInfo(daemon.Context(t), &runtimeapi.ImageFsInfoRequest{})
		return err == nil && info.GetContainerFilesystems()[0].GetUsedBytes().GetValue() >= 20_000_000
	})
}

// TestReadOnlyRoot has a root that cannot be written to, and masked paths.
func TestReadOnlyRoot(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		pod := d.RunPod(t)
		c := pod.RunWith(t, security(func(s *runtimeapi.LinuxContainerSecurityContext) {
			s.ReadonlyRootfs = true
			s.MaskedPaths, s.ReadonlyPaths = []string{"/proc/keys", "/etc/passwd"}, []string{"/proc/sys"}
		}))
		for script, works := range map[string]bool{
			"touch /file": false, "touch /tmp/file": false, "touch /dev/shm/file": true,
			"test -s /etc/passwd": false, "echo 1 > /proc/sys/net/ipv4/ip_forward": false,
		} {
			if succeeds(t, c, script) != works {
				t.Errorf("%s: works is to be %v", script, works)
			}
		}
	})
}

// TestCDI injects a device that a specification describes.
func TestCDI(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		dir := d.Configuration.CDI.SpecDirs[0]
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "vendor.json")
		const spec = `{"cdiVersion": "0.6.0", "kind": "vendor.test/device", "devices": [{"name": "one", "containerEdits": {
			"env": ["VENDOR=one"], "deviceNodes": [{"path": "/dev/vendor", "hostPath": "/dev/zero"}],
			"mounts": [{"hostPath": "/etc/hostname", "containerPath": "/vendor", "options": ["ro", "bind"]}]}}]}`
		if err := os.WriteFile(file, []byte(spec), 0o644); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Remove(file) })
		pod := d.RunPod(t)
		var c *daemon.Container
		daemon.Eventually(t, "known: the device", func() bool {
			r := pod.CreateRequest(func(c *runtimeapi.ContainerConfig) {
				c.CDIDevices = []*runtimeapi.CDIDevice{{Name: "vendor.test/device=one"}}
			})
			resp, err := d.Runtime.CreateContainer(daemon.Context(t), r)
			if err == nil {
				c = pod.Adopt(resp.GetContainerId(), r.Config)
			}
			return err == nil
		})
		c.Start(t)
		if got := c.Output(t, "echo $VENDOR; head -c 3 /dev/vendor | wc -c; test -s /vendor && echo mounted"); got != "one\n3\nmounted\n" {
			t.Errorf("%q", got)
		}
	})
}
