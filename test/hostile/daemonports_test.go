package hostile

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
)

// TestPortsOfTheDaemon: no pod receives what clients send to the daemon's TCP ports, the token of a session or of a scrape. A pod
// cannot publish such a port, and a daemon does not start at a port that a pod has published while another one was configured.
func TestPortsOfTheDaemon(t *testing.T) {
	metricsPort, podPort := freePort(t), freePort(t)
	metrics := "[metrics]\naddress = \"127.0.0.1:%d\"\n"
	d := daemon.Start(t, daemon.Options{Config: fmt.Sprintf(metrics, metricsPort)})
	configure := func(content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(d.Dir, "config.toml"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d.CheckLeaks(t)
	wantRefusedPort(t, d, runtimeapi.Protocol_TCP, metricsPort, "listens")
	pod := d.RunPod(t, publishing(runtimeapi.Protocol_TCP, podPort))
	for _, content := range []string{
		fmt.Sprintf("[streaming]\nport = %d\n", podPort),
		fmt.Sprintf(metrics, podPort),
	} {
		d.Stop(t)
		d.MarkLog()
		configure(content)
		if _, err := d.Revive(daemon.Context(t)); err == nil {
			t.Errorf("berthd starts at the port of a pod: %s", content)
		} else if log := d.Log(); !strings.Contains(log, pod.ID) || !strings.Contains(log, "which publishes the port") {
			t.Errorf("does not name the pod: %s", log)
		}
		configure(d.Config)
		if _, err := d.Revive(daemon.Context(t)); err != nil {
			t.Fatal(err)
		}
	}
	pod.Stop(t)
	d.Stop(t)
	configure(fmt.Sprintf("[streaming]\nport = %d\n", podPort))
	d.Start(t)
}
