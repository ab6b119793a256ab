package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-run/berth/test/daemon"
)

// chaosPods is how many pods are looked after at the same time.
const chaosPods = 4

// TestOneRunsInChaos: calls are given up at random and berthd is killed at random, and all the while the next attempt of
// what does not run is made as the kubelet does. No two attempts of one container ever run at once, of no
// pod two sandboxes are ready, and when the chaos is over, every container comes up.
func TestOneRunsInChaos(t *testing.T) {
	span := 12 * time.Second
	if all() {
		span = 2 * time.Minute
	}
	either(t, func(t *testing.T, d *daemon.Daemon) {
		before, err := d.StockOf(t.Context())
		must(t, err)
		n := &deeds{}
		kubelets := make([]*kubelet, chaosPods)
		for i := range kubelets {
			name := fmt.Sprintf("chaos-%d", i)
			dir := filepath.Join(t.TempDir(), name)
			must(t, os.Mkdir(dir, 0o755))
			kubelets[i] = newKubelet(d, name, dir, n)
		}
		kills := chaos(t, d, kubelets, span)
		n.calm.Store(true)
		for _, k := range kubelets {
			settle(t, k)
		}
		t.Logf("%s: %d times killed; %d calls, %d of them given up, %d failed; %d pods and %d containers were started, %d processes began",
			span, kills, n.calls.Load(), n.givenUp.Load(), n.failed.Load(), n.pods.Load(), n.starts.Load(), began(kubelets))
		must(t, clearHost(daemon.Context(t), d, before))
		healthy(t, d)
	})
}

// chaos lets the kubelets work while berthd is killed again and again. It returns how often.
func chaos(t *testing.T, d *daemon.Daemon, kubelets []*kubelet, span time.Duration) (kills int) {
	points, err := daemon.Failpoints()
	must(t, err)
	ctx, cancel := context.WithTimeout(background(), span)
	defer cancel()
	var at sync.WaitGroup
	for _, k := range kubelets {
		at.Go(func() {
			for ctx.Err() == nil {
				if _, err := k.sync(background()); err != nil {
					t.Error(err)
				}
				time.Sleep(rand.N(20 * time.Millisecond)) // the kubelet has other pods
			}
		})
	}
	for ctx.Err() == nil && !t.Failed() {
		select {
		case <-time.After(rand.N(1500 * time.Millisecond)):
		case <-ctx.Done():
		}
		d.Kill(t)
		kills++
		if err := d.StartWith(background(), slowPoints(points)); err != nil {
			t.Errorf("berthd does not start after a kill: %v", err)
			break
		}
	}
	at.Wait()
	return kills
}

// slowPoints makes three steps of the lives of pods and containers slow, so that more is cut off there.
func slowPoints(points []string) string {
	var slow []string
	for len(slow) < 3 {
		point := points[rand.N(len(points))]
		switch operation, _, _ := strings.Cut(point, "/"); operation {
		case "RunPodSandbox", "CreateContainer", "StartContainer", "StopContainer", "ContainerExit":
			slow = append(slow, point+"=delay(200ms)*3")
		}
	}
	return strings.Join(slow, ";")
}

// settle expects a pod to come up now that nothing disturbs it, and that it was never twice there.
func settle(t *testing.T, k *kubelet) {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() {
			pods, ctrs, err := k.known(background())
			t.Logf("%s: %v\n%v\n%v", k.pod.GetMetadata().GetName(), err, pods, ctrs)
		}
	})
	k.d.MarkLog()
	k.d.Await(t, "container of "+k.pod.GetMetadata().GetName()+" to run", func() bool {
		runs, err := k.sync(background())
		if err != nil {
			t.Error(err)
		}
		return runs
	})
	if twice, err := os.ReadFile(filepath.Join(k.dir, "twice")); err == nil {
		t.Errorf("%s: %s", k.pod.GetMetadata().GetName(), twice)
	}
}

// began counts the processes that began to run.
func began(kubelets []*kubelet) (n int) {
	for _, k := range kubelets {
		lines, _ := os.ReadFile(filepath.Join(k.dir, "began"))
		n += strings.Count(string(lines), "\n")
	}
	return n
}
