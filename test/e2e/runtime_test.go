package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-run/berth/test/critest/reference"
	"github.com/berth-run/berth/test/daemon"
	"github.com/berth-run/berth/test/images"
	"github.com/berth-run/berth/test/registry"
)

// runtime is what the kubelet runs on.
type runtime struct {
	bin, socket string
	// crash kills the daemon and starts it again; nil where that is not tested.
	crash func(t *testing.T)
}

// startRuntime starts berthd, or with BERTH_E2E_RUNTIME=containerd the reference, on
// which a fault of the test itself shows.
func startRuntime(t *testing.T, bin, certs string) *runtime {
	t.Helper()
	if os.Getenv("BERTH_E2E_RUNTIME") != "containerd" {
		d := daemon.Start(t, daemon.Options{Certs: certs, LogLevel: "info"})
		return &runtime{bin: bin, socket: d.Socket, crash: func(t *testing.T) {
			d.Kill(t)
			d.Start(t)
		}}
	}
	containerd, err := reference.Start(t.Context(), bin, certs)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(containerd.Stop)
	return &runtime{bin: bin, socket: containerd.Socket}
}

// crictl returns what crictl prints, errors included.
func (r *runtime) crictl(ctx context.Context, args ...string) string {
	args = append([]string{"--config", "/dev/null", "--runtime-endpoint", "unix://" + r.socket}, args...)
	out, err := exec.CommandContext(ctx, filepath.Join(r.bin, "crictl"), args...).CombinedOutput()
	if err != nil {
		return "crictl: " + err.Error() + ": " + string(out)
	}
	return strings.TrimSpace(string(out))
}

func pushReferencePause(reg *registry.Registry) error {
	set, err := images.New()
	if err != nil {
		return err
	}
	pause, err := set.PauseAs("reference")
	if err != nil {
		return err
	}
	return reg.Push(reference.SandboxImage, pause)
}
