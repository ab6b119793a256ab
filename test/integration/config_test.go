package integration

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
	"github.com/berth-run/berth/test/images"
)

// TestLongestState: what `config check` lets through starts, and pods with terminals run in it. A handler
// without its shim is told of in the status, and its pods are refused.
func TestLongestState(t *testing.T) {
	t.Parallel()
	d := daemon.Start(t, daemon.Options{LongState: true, Config: `
[image]
pinned = ["registry.k8s.io/*", "docker.io/library/busybox*"]
[runtime.handlers.gone]
shim = "io.containerd.gone.v2"
`})
	d.Pull(t, images.Busybox)
	status, err := d.Image.ImageStatus(daemon.Context(t), &runtimeapi.ImageStatusRequest{Image: &runtimeapi.ImageSpec{Image: images.Busybox}})
	if err != nil || !status.Image.Pinned {
		t.Errorf("the image is not pinned: %v, %v", status, err)
	}
	pod := d.RunPod(t)
	tty := pod.RunWith(t, daemon.WithShell("tty; sleep 1000"), func(c *runtimeapi.ContainerConfig) { c.Tty = true })
	if out := tty.Output(t, "echo here"); out != "here\n" {
		t.Errorf("exec says %q", out)
	}
	info, err := d.Runtime.Status(daemon.Context(t), &runtimeapi.StatusRequest{Verbose: true})
	if err != nil {
		t.Fatal(err)
	}
	if w := info.Info["warnings"]; !strings.Contains(w, "handler gone are refused") || !strings.Contains(w, "containerd-shim-gone-v2") {
		t.Errorf("warnings: %s", w)
	}
}

// TestWrongSnapshotter: a start with a snapshotter that does not exist ends like a mistake in the file, and changes
// nothing.
func TestWrongSnapshotter(t *testing.T) {
	t.Parallel()
	daemon.Require(t)
	bin, err := daemon.BinDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "c.toml")
	if err := os.WriteFile(file, []byte("[runtime.handlers.runc]\nsnapshotter = 'nosuch'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"config", "check"}, nil} {
		cmd := exec.Command(filepath.Join(bin, "berthd"), append(args, "--config", file, "--root", filepath.Join(dir, "r"), "--state", "/tmp/none")...)
		out, _ := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != 78 || !bytes.Contains(out, []byte(`no snapshotter "nosuch"`)) {
			t.Errorf("berthd %v ends with %d: %s", args, cmd.ProcessState.ExitCode(), out)
		}
		if found, _ := filepath.Glob(filepath.Join(dir, "r")); found != nil {
			t.Errorf("berthd %v made %s", args, found)
		}
	}
}
