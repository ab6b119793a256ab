package hostile

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"

	"github.com/berth-run/berth/test/daemon"
	"github.com/berth-run/berth/test/images"
)

// shared is the daemon of all tests that need no configuration of their own. The first of them
// starts it.
var shared *daemon.Daemon

func TestMain(m *testing.M) {
	klog.SetLogger(logr.Discard()) // the streaming client reports every end there
	code := m.Run()
	if shared != nil {
		if err := shared.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "after all tests:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// target returns the shared daemon. The test fails if it leaves something on the host.
func target(t *testing.T) *daemon.Daemon {
	t.Helper()
	daemon.Require(t)
	if shared == nil {
		d, err := daemon.Launch(context.Background(), daemon.Options{})
		if err != nil {
			t.Fatal(err)
		}
		shared = d
		for _, image := range []string{images.Busybox, images.Tools} {
			d.Pull(t, image)
		}
	}
	if shared.PID() == 0 {
		t.Fatalf("berthd has ended by itself\n%s", shared.Log())
	}
	shared.MarkLog()
	t.Cleanup(func() {
		if t.Failed() {
			shared.ShowLog(t)
		}
	})
	shared.CheckLeaks(t)
	return shared
}
