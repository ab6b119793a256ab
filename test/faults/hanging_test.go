package faults

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/internal/doctor"
	"github.com/berth-run/berth/internal/underway"
	"github.com/berth-run/berth/test/daemon"
)

// TestHangingIsSaid: status, metrics and doctor name a start that hangs, and say nothing once it is given up.
func TestHangingIsSaid(t *testing.T) {
	address := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	d := launch(t, daemon.Options{Config: fmt.Sprintf("[metrics]\naddress = %q\n", address)})
	watched(t, d)
	pod := d.RunPod(t)
	c := pod.Create(t, attemptOf(0, t.TempDir()))
	stuckStart(t, d, pod, c)
	daemon.Eventually(t, "said to hang: the start", func() bool { return len(hanging(t, d)) > 0 })
	if o := hanging(t, d)[0]; o.Name != "StartContainer" || o.ID != c.ID || o.Stage != "start" || o.Seconds < 10 || o.WaitsFor == "" {
		t.Errorf("hanging: %+v", o)
	}
	if text := scrape(t, address); !strings.Contains(text, `berth_operations_hanging{operation="StartContainer"} 1`) {
		t.Error("the metrics do not count it")
	}
	found, err := d.Doctor(daemon.Context(t), false)
	must(t, err)
	if len(found) != 1 || !found[0].Hangs || found[0].ID != c.ID || len(doctor.Removable(found)) != 0 {
		t.Errorf("doctor finds %+v", found)
	}
	if out, err := berthd(t, d, "doctor"); err == nil || !strings.Contains(out, "hangs: StartContainer of container ") {
		t.Errorf("berthd doctor: %v\n%s", err, out)
	}
	pod.Remove(t)
	if left := hanging(t, d); len(left) != 0 {
		t.Errorf("hanging: %+v", left)
	}
	healthy(t, d)
}

// hanging is what the status says of operations that hang.
func hanging(t *testing.T, d *daemon.Daemon) []underway.Operation {
	t.Helper()
	resp, err := d.Runtime.Status(daemon.Context(t), &runtimeapi.StatusRequest{Verbose: true})
	must(t, err)
	var list struct{ Items []underway.Operation }
	must(t, json.Unmarshal([]byte(resp.GetInfo()["hanging"]), &list))
	return list.Items
}

func scrape(t *testing.T, address string) string {
	t.Helper()
	resp, err := http.Get("http://" + address + "/metrics")
	must(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(t, err)
	return string(text)
}
