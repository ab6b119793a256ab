package integration

import (
	"sync"
	"testing"
	"time"

	"github.com/berth-run/berth/test/daemon"
)

const (
	scalePods   = 200
	scaleAtOnce = 20
)

// TestScale makes and removes many pods with a container each, some at a time. Afterwards
// all is as before: the check of the fixture sees everything there can be on the host, and
// berthd's goroutines and file descriptors.
func TestScale(t *testing.T) {
	own(t, daemon.Options{LogLevel: "info"}, func(t *testing.T, d *daemon.Daemon) {
		began := time.Now()
		lives := make(chan *life)
		var all sync.WaitGroup
		for range scaleAtOnce {
			all.Go(func() {
				for l := range lives {
					if l.advance(); l.err != nil {
						t.Errorf("at %s: %v", l.stage(), l.err)
					}
				}
			})
		}
		for range scalePods {
			lives <- newLife(t, d)
		}
		close(lives)
		all.Wait()
		t.Logf("%d pods, %d at once, in %s", scalePods, scaleAtOnce, time.Since(began).Round(time.Millisecond))
		if pods := listPods(t, d); len(pods) > 0 {
			t.Errorf("pods left: %v", pods)
		}
	})
}
