package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
)

// TestForeignExitCutOff: the daemon is killed, or a step fails, between the record of an exit and the removal of the
// FIFOs of a container whose shim is not Berth's. The FIFOs and the task go nevertheless: at the next start, or with
// the container.
func TestForeignExitCutOff(t *testing.T) {
	daemon.Require(t)
	bin, err := daemon.BinDir()
	must(t, err)
	d := launch(t, daemon.Options{Config: fmt.Sprintf(
		"[runtime.handlers.foreign]\nshim = \"%[1]s/containerd-shim-runc-v2\"\noptions = { binary_name = \"%[1]s/runc\" }\n", bin)})
	const point = "ContainerExit/task/do/before"
	pod := d.RunPod(t, daemon.WithHandler("foreign"))
	fifos := func(c *daemon.Container) string { return filepath.Join(d.Configuration.Paths().FIFOs(), c.ID) }

	must(t, d.Arm(daemon.Context(t), point, "kill"))
	c := pod.Create(t, daemon.WithShell("exit 3"))
	_, _ = d.Runtime.StartContainer(daemon.Context(t), &runtimeapi.StartContainerRequest{ContainerId: c.ID})
	<-d.Exited()
	if !exists(fifos(c)) {
		t.Fatal("the daemon had removed the FIFOs before it was killed")
	}
	stray := filepath.Join(d.Configuration.Paths().FIFOs(), "nobodys")
	must(t, os.Mkdir(stray, 0o700))
	d.Start(t)
	d.Await(t, "the FIFOs' removal after a restart", func() bool { return !exists(fifos(c)) && !exists(stray) })
	if s := c.Status(t); s.GetExitCode() != 3 {
		t.Errorf("the exit code is %d", s.GetExitCode())
	}

	must(t, d.Arm(daemon.Context(t), point, "error"))
	c = pod.Run(t, "sh", "-c", "exit 4")
	must(t, d.AwaitHit(daemon.Context(t), point))
	c.WaitExited(t)
	c.Remove(t)
	if exists(fifos(c)) {
		t.Error("the FIFOs of a container that was removed are left")
	}
	pod.Remove(t)
}
