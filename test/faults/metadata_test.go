package faults

import (
	"os"
	"path/filepath"
	"testing"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
	"github.com/berth-run/berth/test/images"
)

// TestMetadataDamaged: with a database that cannot be read, the daemon starts all the
// same, says so, ends what runs and has no record any more, and works.
func TestMetadataDamaged(t *testing.T) {
	daemon.Require(t)
	for name, damage := range map[string]func(file string) error{
		"truncated": func(file string) error {
			st, err := os.Stat(file)
			if err != nil {
				return err
			}
			return os.Truncate(file, st.Size()/3)
		},
		"overwritten": func(file string) error {
			return os.WriteFile(file, make([]byte, 1<<16), 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := daemon.Start(t, daemon.Options{})
			d.Pull(t, images.Busybox)
			before, err := d.StockOf(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			request := d.PodRequest(t)
			pod := d.RunPodRequest(t, request)
			pod.Run(t)
			d.Kill(t)
			if err := damage(filepath.Join(d.Configuration.Paths().ContainerdRoot(), "io.containerd.metadata.v1.bolt", "meta.db")); err != nil {
				t.Fatal(err)
			}
			d.Start(t)
			if intact(t, d) {
				t.Error("the node's status does not tell")
			}
			if n := podCount(t, d); n != 0 {
				t.Errorf("%d pods are listed", n)
			}
			found, err := filepath.Glob(filepath.Join(d.Configuration.Paths().Quarantine(), "*", "*", "meta.db"))
			if err != nil || len(found) != 1 {
				t.Errorf("in quarantine: %v, %v", found, err)
			}
			must(t, os.RemoveAll(d.Configuration.Paths().Quarantine())) // an operator has looked at it
			if err := d.Clean(daemon.Context(t), before); err != nil {
				t.Errorf("what had been running: %v", err)
			}
			healthy(t, d)
			d.Pull(t, images.Busybox)
			if again := d.RunPodRequest(t, request); again.ID == pod.ID {
				t.Error("the pod has the same ID")
			} else if got := again.Run(t).Output(t, "hostname"); got != "berth-test\n" {
				t.Errorf("hostname %q", got)
			}
			d.Restart(t)
			if !intact(t, d) {
				t.Error("the node's status still tells of the damage")
			}
		})
	}
}

// intact says what the node's status says.
func intact(t *testing.T, d *daemon.Daemon) bool {
	t.Helper()
	resp, err := d.Runtime.Status(daemon.Context(t), &runtimeapi.StatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range resp.GetStatus().GetConditions() {
		if c.GetType() == "MetadataIntact" {
			return c.GetStatus()
		}
		if !c.GetStatus() {
			t.Errorf("%s: %s", c.GetType(), c.GetMessage())
		}
	}
	return true
}
