package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-run/berth/test/daemon"
)

// runscTOML is what gVisor's shim is configured with: systrap needs no KVM.
const runscTOML = `binary_name = %q
[runsc_config]
platform = "systrap"
`

// TestGVisor runs a pod on gVisor, whose shim makes one sandbox of the pod's containers by what it is told.
func TestGVisor(t *testing.T) {
	daemon.Require(t)
	bin, err := daemon.BinDir()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"runsc", "containerd-shim-runsc-v1"} {
		if _, err := os.Stat(filepath.Join(bin, name)); err != nil {
			t.Skip("gVisor is not built: make gvisor")
		}
	}
	own, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("/proc/self/oom_score_adj", []byte("-999"), 0); err != nil {
		t.Skip("gVisor's shim needs CAP_SYS_RESOURCE for its OOM score: ", err)
	}
	if err := os.WriteFile("/proc/self/oom_score_adj", own, 0); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "runsc.toml")
	if err := os.WriteFile(config, fmt.Appendf(nil, runscTOML, filepath.Join(bin, "runsc")), 0o644); err != nil {
		t.Fatal(err)
	}
	d := daemon.Start(t, daemon.Options{Config: fmt.Sprintf("[runtime.handlers.gvisor]\nshim = \"%s/containerd-shim-runsc-v1\"\n"+
		"options = { type_url = \"io.containerd.runsc.v1.options\", config_path = %q }\n", bin, config)})
	pod := d.RunPod(t, daemon.WithHandler("gvisor"))
	a, b := pod.Run(t), pod.Run(t, "sh", "-c", "echo out; exit 3")
	if got := a.Output(t, "dmesg; cat /proc/version"); !strings.Contains(got, "gVisor") {
		t.Errorf("the kernel is %q", got)
	}
	if status := b.WaitExited(t); status.GetExitCode() != 3 || b.LogText(t, "stdout") != "out\n" {
		t.Errorf("ended with %d, and the log %q", status.GetExitCode(), b.LogText(t, "stdout"))
	}
	if got := a.Output(t, "ip addr show eth0"); !strings.Contains(got, pod.IP(t)) {
		t.Errorf("the pod's address is %s, a container has\n%s", pod.IP(t), got)
	}
	a.Stop(t, 1)
	pod.Remove(t)
}
