package integration

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"

	"github.com/berth-run/berth/test/daemon"
	"github.com/berth-run/berth/test/images"
)

// mode is where containerd runs.
type mode struct {
	name     string
	external bool
	shared   *daemon.Daemon // started by the first test that needs it
}

var modes = []*mode{{name: "embedded"}, {name: "external", external: true}}

func TestMain(m *testing.M) {
	klog.SetLogger(logr.Discard()) // the streaming client reports every end there
	code := m.Run()
	var errs []error
	for _, mode := range modes {
		if mode.shared != nil {
			errs = append(errs, mode.shared.Close())
		}
	}
	if err := errors.Join(errs...); err != nil {
		fmt.Fprintln(os.Stderr, "after all tests:", err)
		code = 1
	}
	os.Exit(code)
}

// commonImages are pulled beforehand, so that a test's goroutines are its own.
var commonImages = []string{images.Busybox, images.Tools}

// both runs a test on the shared daemon of each mode. What it leaves behind is an error.
func both(t *testing.T, test func(t *testing.T, d *daemon.Daemon)) {
	t.Helper()
	daemon.Require(t)
	for _, mode := range modes {
		t.Run(mode.name, func(t *testing.T) {
			d := mode.daemon(t)
			d.MarkLog()
			t.Cleanup(func() {
				if t.Failed() {
					d.ShowLog(t)
				}
			})
			d.CheckLeaks(t)
			test(t, d)
		})
	}
}

func (m *mode) daemon(t *testing.T) *daemon.Daemon {
	t.Helper()
	if m.shared == nil {
		d, err := daemon.Launch(context.Background(), daemon.Options{External: m.external})
		if err != nil {
			t.Fatal(err)
		}
		m.shared = d
		warmUp(t, d)
	}
	if m.shared.PID() == 0 {
		t.Fatalf("berthd has ended by itself\n%s", m.shared.Log())
	}
	return m.shared
}

// warmUp pulls images, and runs a pod: what is opened once and for all is open then.
func warmUp(t *testing.T, d *daemon.Daemon) {
	t.Helper()
	for _, image := range commonImages {
		d.Pull(t, image)
	}
	pod := d.RunPod(t)
	pod.Run(t).Output(t, "true")
	pod.Remove(t)
}

// own runs a test on a daemon of its own, in each mode.
func own(t *testing.T, opts daemon.Options, test func(t *testing.T, d *daemon.Daemon)) {
	t.Helper()
	daemon.Require(t)
	for _, mode := range modes {
		t.Run(mode.name, func(t *testing.T) {
			opts := opts
			opts.External = mode.external
			d := daemon.Start(t, opts)
			warmUp(t, d)
			d.CheckLeaks(t)
			test(t, d)
		})
	}
}
