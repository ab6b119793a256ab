package faults

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/berth-run/berth/test/daemon"
	"github.com/berth-run/berth/test/images"
)

// all reports whether the whole matrix and the long forms of the other tests are asked for.
func all() bool { return os.Getenv("BERTH_FAULTS") == "all" }

// only is a part of the names of the failpoints to go through, for one who looks for a
// mistake.
func only() string { return os.Getenv("BERTH_FAULTS_ONLY") }

// modes are the ways to run containerd.
var modes = map[string]daemon.Options{"embedded": {}, "external": {External: true}}

// commonImages are there from the start.
var commonImages = []string{images.Busybox, images.Volumes}

// launch starts a daemon for a test of many rounds.
func launch(t *testing.T, opts daemon.Options) *daemon.Daemon {
	t.Helper()
	d := daemon.Start(t, opts)
	for _, image := range commonImages {
		d.Pull(t, image)
	}
	return d
}

// both runs a test on a daemon of its own in each mode.
func both(t *testing.T, test func(t *testing.T, d *daemon.Daemon)) {
	t.Helper()
	daemon.Require(t)
	for name, opts := range modes {
		t.Run(name, func(t *testing.T) { test(t, launch(t, opts)) })
	}
}

// either runs a test on a daemon with embedded containerd, and where all is asked for
// also with an external one.
func either(t *testing.T, test func(t *testing.T, d *daemon.Daemon)) {
	t.Helper()
	if all() {
		both(t, test)
		return
	}
	daemon.Require(t)
	test(t, launch(t, daemon.Options{}))
}

// selected thins out the points where not all are asked for.
func selected(points []string, every int) []string {
	var out []string
	for i, p := range points {
		if only() != "" {
			if strings.Contains(p, only()) {
				out = append(out, p)
			}
		} else if all() || i%every == 0 {
			out = append(out, p)
		}
	}
	return out
}

// TestMain is also the CNI plugin that fails when it is told to, see plugin_test.go.
func TestMain(m *testing.M) {
	if os.Getenv("CNI_COMMAND") != "" {
		os.Exit(pluginMain())
	}
	noteStrangers()
	os.Exit(m.Run())
}

func background() context.Context { return context.Background() }
