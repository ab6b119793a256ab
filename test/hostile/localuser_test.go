package hostile

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
	"github.com/berth-run/berth/test/images"
)

// planted is the name of files that containers leave for users of the host.
const planted = "planted-set-user-id"

// plantEverywhere has root of a container make a set-user-ID program wherever it can write.
func plantEverywhere(t *testing.T, pod *daemon.Pod) {
	t.Helper()
	c := pod.RunWith(t, daemon.WithImage(images.Volumes))
	c.Output(t, `for d in / /data /var/cache/app /dev/shm; do cp /bin/busybox $d/`+planted+` && chmod 4755 $d/`+planted+` || exit 1; done`)
}

// seenFrom lists the planted files below the daemon's directories, as the host's root sees them.
func seenFrom(t *testing.T, dirs ...string) (found []string) {
	t.Helper()
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			if entry != nil && entry.Name() == planted {
				found = append(found, path)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// asUser runs a command as a user of the host who is not root.
func asUser(command ...string) ([]byte, error) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 4711, Gid: 4711}}
	return cmd.CombinedOutput()
}

// open lets users of the host into the directory that the test's own daemon works in, as they may
// enter /var/lib and /run.
func open(t *testing.T, d *daemon.Daemon) (root, state string) {
	t.Helper()
	paths := d.Configuration.Paths()
	for _, dir := range []string{d.Dir, paths.Root, paths.State} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := asUser("ls", paths.State); err != nil {
		t.Fatalf("the test's directories keep users out before Berth's do: %s", out)
	}
	return paths.Root, paths.State
}

// unreachable checks that none of the planted files can be used by a user of the host.
func unreachable(t *testing.T, root, state string) {
	t.Helper()
	found := seenFrom(t, root, state)
	if len(found) < 4 {
		t.Fatalf("only %d planted files are found: %s", len(found), found)
	}
	for _, file := range found {
		if out, err := asUser(file, "id", "-u"); err == nil {
			t.Errorf("a user of the host becomes user %s by %s", strings.TrimSpace(string(out)), file)
		}
		if out, err := asUser("stat", file); err == nil || !strings.Contains(string(out), "Permission denied") {
			t.Errorf("a user of the host reaches %s: %s", file, out)
		}
	}
}

// TestLocalUserReachesNothing has containers leave set-user-ID programs in their root, volumes and
// shared memory, and a user of the host look for them (CVE-2021-41103, CVE-2024-25621). Directories
// that an older version left open are closed at the next start.
func TestLocalUserReachesNothing(t *testing.T) {
	daemon.Require(t)
	d := daemon.Start(t, daemon.Options{})
	d.Pull(t, images.Volumes)
	root, state := open(t, d)
	for name, o := range map[string]*runtimeapi.NamespaceOption{
		"host users":     {Pid: runtimeapi.NamespaceMode_CONTAINER},
		"user namespace": {Pid: runtimeapi.NamespaceMode_POD, UsernsOptions: userNamespace(65536)},
	} {
		t.Run(name, func(t *testing.T) {
			plantEverywhere(t, d.RunPod(t, daemon.WithPod(func(c *runtimeapi.PodSandboxConfig) {
				c.Linux.SecurityContext.NamespaceOptions = o
			})))
			unreachable(t, root, state)
		})
	}
	t.Run("after an upgrade", func(t *testing.T) {
		plantEverywhere(t, d.RunPod(t))
		d.Kill(t)
		<-d.Exited()
		for _, dir := range d.Configuration.Paths().Private() {
			if err := os.Chmod(dir, 0o755); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
		}
		d.Start(t)
		unreachable(t, root, state)
	})
}
