package integration

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/api/types/runc/options"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/berth-run/berth/internal/doctor"
	"github.com/berth-run/berth/test/daemon"
)

// TestForeignSleeper is not a test: it is the program of TestDoctorLeavesOthers' container.
func TestForeignSleeper(t *testing.T) {
	if os.Getenv("BERTH_SLEEPER") == "" {
		t.Skip("only within the container of another test")
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	_ = unix.Pause()
}

// TestDoctorLeavesOthers: other clients of Berth's containerd, as nerdctl and BuildKit are, keep what they
// have: a running container with nerdctl's kind of ID, views in their own namespace and in Berth's.
func TestDoctorLeavesOthers(t *testing.T) {
	embedded(t, func(t *testing.T, d *daemon.Daemon) {
		ctr := func(namespace string, args ...string) string {
			t.Helper()
			args = append([]string{"--address", d.ContainerdSocket(), "--namespace", namespace}, args...)
			out, err := exec.Command(filepath.Join(d.BinDir, "ctr"), args...).CombinedOutput()
			if err != nil {
				t.Fatalf("ctr %q: %v\n%s", args, err, out)
			}
			return string(out)
		}
		id, view, built := strings.Repeat("ab", 32), strings.Repeat("cd", 32), strings.Repeat("ef", 32)
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = exec.Command(filepath.Join(d.BinDir, "ctr"), "--address", d.ContainerdSocket(), "--namespace", "default", "tasks", "rm", "--force", id).Run()
			_ = exec.Command(filepath.Join(d.BinDir, "ctr"), "--address", d.ContainerdSocket(), "--namespace", "default", "containers", "rm", id).Run()
			ctr("k8s.io", "snapshots", "rm", view)
			ctr("buildkit", "snapshots", "rm", built)
		})
		runForeign(t, d, id, self)
		ctr("k8s.io", "snapshots", "prepare", view)
		ctr("buildkit", "snapshots", "prepare", built)

		found, err := d.Doctor(daemon.Context(t), true)
		if err != nil {
			t.Errorf("doctor --fix: %v", err)
		}
		if removed := doctor.Removable(found); len(removed) > 0 {
			t.Errorf("doctor --fix removes %v", removed)
		}
		left := ""
		for _, f := range found {
			left += f.String() + ": " + f.LeftAlone + "\n"
		}
		for _, want := range []string{"(containerd-shim-runc-v2): ", "snapshot overlayfs/" + view + ": ", "containerd namespace buildkit: ", "containerd namespace default: "} {
			if !strings.Contains(left, want) {
				t.Errorf("no %q in what is left alone:\n%s", want, left)
			}
		}
		if out := ctr("default", "tasks", "ls"); !strings.Contains(out, "RUNNING") {
			t.Errorf("the other client's container:\n%s", out)
		}
		if out := ctr("k8s.io", "snapshots", "ls"); !strings.Contains(out, view) {
			t.Errorf("the other client's snapshot in k8s.io:\n%s", out)
		}
		if out := ctr("buildkit", "snapshots", "ls"); !strings.Contains(out, built) {
			t.Errorf("the other client's snapshot:\n%s", out)
		}
	})
}

// runForeign runs a container in containerd's default namespace: TestForeignSleeper of this program.
func runForeign(t *testing.T, d *daemon.Daemon, id, program string) {
	t.Helper()
	client, err := containerd.New(d.ContainerdSocket(), containerd.WithDefaultNamespace("default"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx := daemon.Context(t)
	c, err := client.NewContainer(ctx, id,
		containerd.WithRuntime(filepath.Join(d.BinDir, "containerd-shim-runc-v2"), &options.Options{BinaryName: filepath.Join(d.BinDir, "runc")}),
		containerd.WithNewSpec(oci.WithRootFSPath(t.TempDir()), oci.WithProcessArgs("/t", "-test.run=^TestForeignSleeper$"),
			oci.WithEnv([]string{"BERTH_SLEEPER=1"}),
			oci.WithMounts([]specs.Mount{{Destination: "/t", Type: "bind", Source: program, Options: []string{"rbind", "ro"}}})))
	if err != nil {
		t.Fatal(err)
	}
	task, err := c.NewTask(ctx, cio.NullIO)
	if err != nil {
		t.Fatal(err)
	}
	if err := task.Start(ctx); err != nil {
		t.Fatal(err)
	}
}

// TestDoctorExitCodes: what was found and what could not be looked at are told apart.
func TestDoctorExitCodes(t *testing.T) {
	embedded(t, func(t *testing.T, d *daemon.Daemon) {
		run := func(args ...string) (int, string) {
			cmd := exec.Command(filepath.Join(d.BinDir, "berthd"), append([]string{"doctor"}, args...)...)
			out, _ := cmd.CombinedOutput()
			return cmd.ProcessState.ExitCode(), string(out)
		}
		p := d.Configuration.Paths()
		at := []string{"--root", p.Root, "--state", p.State}
		if code, out := run(at...); code != 0 {
			t.Errorf("nothing to find: exit code %d\n%s", code, out)
		}
		leftover := p.Container(strings.Repeat("ab", 32))
		if err := os.MkdirAll(leftover, 0o700); err != nil {
			t.Fatal(err)
		}
		pin := p.PublishedNetNS(strings.Repeat("ab", 32))
		if err := os.WriteFile(pin, nil, 0o400); err != nil {
			t.Fatal(err)
		}
		if code, out := run(at...); code != 1 || !strings.Contains(out, leftover) || !strings.Contains(out, pin) {
			t.Errorf("a leftover: exit code %d\n%s", code, out)
		}
		if code, out := run(append(at, "--fix")...); code != 0 || !strings.Contains(out, leftover) {
			t.Errorf("a leftover removed: exit code %d\n%s", code, out)
		}
		if code, out := run("--root", filepath.Join(t.TempDir(), "none"), "--state", p.State); code != 3 {
			t.Errorf("no instance: exit code %d\n%s", code, out)
		}
		if code, out := run("--output", "poem"); code != 78 {
			t.Errorf("wrong flag: exit code %d\n%s", code, out)
		}
	})
}
