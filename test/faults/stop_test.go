package faults

import (
	"testing"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
)

// beforeNetwork is in the middle of RunPodSandbox.
const beforeNetwork = "RunPodSandbox/network/do/before"

// underWay makes a call that waits at a failpoint, and returns when it does.
func underWay(t *testing.T, d *daemon.Daemon, r *runtimeapi.RunPodSandboxRequest, action string) <-chan error {
	t.Helper()
	must(t, d.Arm(t.Context(), beforeNetwork, action))
	answer := make(chan error, 1)
	go func() {
		_, err := d.Runtime.RunPodSandbox(background(), r)
		answer <- err
	}()
	must(t, d.AwaitHit(daemon.Context(t), beforeNetwork))
	return answer
}

// TestStopFinishes: calls under way at SIGTERM are finished, and answered.
func TestStopFinishes(t *testing.T) {
	either(t, func(t *testing.T, d *daemon.Daemon) {
		r := d.PodRequest(t)
		answer := underWay(t, d, r, "delay(1s)")
		d.Stop(t)
		if err := <-answer; err != nil {
			t.Errorf("the call under way: %v", err)
		}
		d.Start(t)
		if n := podCount(t, d); n != 1 {
			t.Errorf("%d pods, should be 1", n)
		}
		d.RunPodRequest(t, r)
		healthy(t, d)
	})
}

// TestStopInterrupts: a call that does not come to its end within pod.drain_timeout does
// not keep the daemon from ending; the next one undoes what it had begun.
func TestStopInterrupts(t *testing.T) {
	daemon.Require(t)
	d := launch(t, daemon.Options{Config: "[pod]\ndrain_timeout = \"1s\"\n"})
	watched(t, d)
	r := d.PodRequest(t)
	answer := underWay(t, d, r, "delay(10m)")
	begin := time.Now()
	d.Stop(t)
	if took := time.Since(begin); took > 30*time.Second {
		t.Errorf("ended %s after SIGTERM", took)
	}
	if err := <-answer; err == nil {
		t.Error("the call that was interrupted succeeded")
	}
	d.Start(t)
	if n := podCount(t, d); n != 0 {
		t.Errorf("%d pods, should be none", n)
	}
	healthy(t, d)
	d.RunPodRequest(t, r)
}

// TestWatchdog: systemd hears from the daemon as long as it lives.
func TestWatchdog(t *testing.T) {
	daemon.Require(t)
	d := launch(t, daemon.Options{Env: []string{"WATCHDOG_USEC=600000"}})
	daemon.Eventually(t, "signs of life", func() bool { return d.SignsOfLife() >= 3 })
	pod := d.RunPod(t)
	before := d.SignsOfLife()
	daemon.Eventually(t, "signs of life with a pod", func() bool { return d.SignsOfLife() > before })
	pod.Remove(t)
}
