package integration

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/tools/remotecommand"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
)

// handlersTOML configures other OCI runtimes and foreign shims.
const handlersTOML = `
[runtime.handlers.copy]
path = "%[2]s"
[runtime.handlers.named]
shim = "io.containerd.runc.v2"
options = { binary_name = "%[1]s/runc" }
[runtime.handlers.path]
shim = "%[1]s/containerd-shim-runc-v2"
options = { binary_name = "%[1]s/runc" }
[runtime.handlers.missing]
path = "/no/such/runtime"
`

// TestHandlers runs pods with each handler, and restarts berthd meanwhile.
func TestHandlers(t *testing.T) {
	daemon.Require(t)
	bin, err := daemon.BinDir()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH")) // where containerd looks for shims by name
	binary, err := os.ReadFile(filepath.Join(bin, "runc"))
	if err != nil {
		t.Fatal(err)
	}
	another := filepath.Join(t.TempDir(), "another-runc")
	if err := os.WriteFile(another, binary, 0o755); err != nil {
		t.Fatal(err)
	}
	config, names := fmt.Sprintf(handlersTOML, bin, another), []string{"", "runc", "copy", "named", "path"}
	if crun, reason := usableCrun(); reason == "" {
		config += "[runtime.handlers.crun]\npath = \"" + crun + "\"\n"
		names = append(names, "crun")
	} else {
		t.Logf("crun is left out: %s", reason)
	}
	own(t, daemon.Options{Config: config}, func(t *testing.T, d *daemon.Daemon) {
		status, err := d.Runtime.Status(daemon.Context(t), &runtimeapi.StatusRequest{})
		if err != nil {
			t.Fatal(err)
		}
		var advertised []string
		for _, h := range status.GetRuntimeHandlers() {
			advertised = append(advertised, h.GetName())
		}
		if !sameSet(advertised, names) {
			t.Errorf("Status has the handlers %q, want %q", advertised, names)
		}
		for _, name := range names {
			t.Run("handler "+name, func(t *testing.T) { useHandler(t, d, name) })
		}
	})
}

// usableCrun finds crun, or says why it cannot be used.
func usableCrun() (path, reason string) {
	path, err := exec.LookPath("crun")
	if err != nil {
		return "", err.Error()
	}
	if _, err := os.Stat(filepath.Join(cgroupMount, "unified")); err == nil {
		return "", "the host has cgroup v1 and v2 side by side (hybrid), which crun does not support"
	}
	return path, ""
}

// useHandler does with a handler's containers what one does with containers.
func useHandler(t *testing.T, d *daemon.Daemon, name string) {
	pod := d.RunPod(t, daemon.WithHandler(name))
	if got := pod.Status(t).GetRuntimeHandler(); got != name {
		t.Errorf("the pod's handler is %q", got)
	}
	ended := pod.Run(t, "sh", "-c", "echo out; echo err >&2; exit 3")
	if status := ended.WaitExited(t); status.GetExitCode() != 3 || status.GetReason() != "Error" {
		t.Errorf("ended with %d, %s", status.GetExitCode(), status.GetReason())
	}
	if out, err := ended.LogText(t, "stdout"), ended.LogText(t, "stderr"); out != "out\n" || err != "err\n" {
		t.Errorf("stdout %q, stderr %q", out, err)
	}
	c := pod.RunWith(t, daemon.WithShell(`trap 'exit 4' TERM; echo ready; while read -r line; do echo "got $line"; done; while :; do usleep 20000; done`),
		func(c *runtimeapi.ContainerConfig) { c.Stdin = true })
	c.WaitLog(t, "ready")
	if got := c.Output(t, "hostname"); got != "berth-test\n" {
		t.Errorf("exec: %q", got)
	}
	eachProtocol(t, d, func(t *testing.T, s *streamer) { attachOnce(t, s, c) })
	rotated := c.LogPath() + ".1"
	if err := os.Rename(c.LogPath(), rotated); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Runtime.ReopenContainerLog(daemon.Context(t), &runtimeapi.ReopenContainerLogRequest{ContainerId: c.ID}); err != nil {
		t.Fatal(err)
	}
	d.Kill(t)
	d.Start(t)
	if c.State(t) != runtimeapi.ContainerState_CONTAINER_RUNNING || ended.Status(t).GetExitCode() != 3 {
		t.Errorf("after the restart: %s, and exit code %d", c.State(t), ended.Status(t).GetExitCode())
	}
	eachProtocol(t, d, func(t *testing.T, s *streamer) { attachOnce(t, s, c) })
	c.WaitLog(t, "got SPDY")
	c.Stop(t, 10)
	if status := c.WaitExited(t); status.GetExitCode() != 4 {
		t.Errorf("stopped: %d, %s", status.GetExitCode(), status.GetReason())
	}
	pod.Remove(t)
}

// attachOnce types a line and waits for the answer.
func attachOnce(t *testing.T, s *streamer, c *daemon.Container) {
	t.Helper()
	in, typed := io.Pipe()
	out, done := &transcript{}, make(chan error, 1)
	ctx, leave := contextWithCancel(t)
	go func() { done <- s.attach(ctx, c, remotecommand.StreamOptions{Stdin: in, Stdout: out}) }()
	name := filepath.Base(t.Name())
	fmt.Fprintln(typed, name)
	daemon.Eventually(t, "answered: "+name, func() bool { return strings.Contains(out.String(), "got "+name) })
	leave()
	<-done
	typed.Close()
}
