package cni

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"
)

// pass is a fake plugin's answer that hands the previous result on.
const pass = `sed 's/.*"prevResult":\(.*\)$/x/' >/dev/null; echo '{"cniVersion":"1.0.0","ips":[{"address":"10.99.0.9/24"}]}'`

func TestFailedAddIsUndone(t *testing.T) {
	for name, tc := range map[string]struct {
		script, want string
		is           func(error) bool
		stage        Stage
	}{
		"error":     {`[ $CNI_COMMAND = DEL ] || { echo '{"code":7,"msg":"no such thing","details":"ask ops"}'; exit 1; }`, "no such thing; ask ops", errdefs.IsFailedPrecondition, StageRunning},
		"try later": {`[ $CNI_COMMAND = DEL ] || { echo '{"code":11,"msg":"busy"}'; exit 1; }`, "busy", errdefs.IsUnavailable, StageRunning},
		"silent":    {`[ $CNI_COMMAND = DEL ] || exit 3`, "exit status 3", errdefs.IsInternal, StageRunning},
		"stderr":    {`[ $CNI_COMMAND = DEL ] || { echo oh no >&2; exit 3; }`, "oh no", errdefs.IsInternal, StageRunning},
		"garbage":   {`[ $CNI_COMMAND = DEL ] || echo '<html>'`, "no JSON", errdefs.IsInternal, StageOutput},
		"huge":      {`[ $CNI_COMMAND = DEL ] || head -c 9000000 /dev/zero`, "more than", errdefs.IsInternal, StageOutput},
		"hang":      {`[ $CNI_COMMAND = DEL ] || { sleep 1000 & sleep 1000; }`, "was killed", errdefs.IsDeadlineExceeded, StageRunning},
		"crash":     {`[ $CNI_COMMAND = DEL ] || kill -SEGV $$`, "segmentation fault", errdefs.IsInternal, StageRunning},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			if name == "hang" {
				h.opts.Timeouts.Add = 5 * time.Second // the bridge plugin itself takes up to 3 s on a busy machine
			}
			h.fake("faulty", tc.script)
			h.conf("10.conflist", h.bridgeConf("1.0.0", `,{"type":"faulty"}`))
			m := h.manager()
			att := h.pod()
			_, err := m.Attach(context.Background(), att)
			if err == nil || !tc.is(err) || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("Attach: %v", err)
			}
			var plugin *PluginError
			if !errors.As(err, &plugin) || plugin.Plugin != "faulty" || plugin.Verb != "ADD" || plugin.Stage != tc.stage || plugin.Age <= 0 {
				t.Errorf("error %+v", plugin)
			}
			if errors.Is(err, ErrLeftBehind) {
				t.Errorf("DEL failed: %v", err)
			}
			for _, part := range []string{"default/pod1", "testnet", h.confDir} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("message lacks %q: %v", part, err)
				}
			}
			h.detach(m, att)
		})
	}
}

// A DEL that fails keeps everything that a later DEL needs, across a restart and a changed
// configuration: what the plugins before it hold is not given back before.
func TestFailedUndoIsRetried(t *testing.T) {
	h := newHost(t)
	h.fake("faulty", `echo '{"code":100,"msg":"down"}'; exit 1`)
	h.conf("10.conflist", h.bridgeConf("1.0.0", `,{"type":"faulty"}`))
	att := h.pod()
	_, err := h.manager().Attach(context.Background(), att)
	if !errors.Is(err, ErrLeftBehind) {
		t.Fatalf("Attach: %v", err)
	}
	if ips, _ := filepath.Glob(h.dir + "/ipam/testnet/10.*"); len(ips) != 1 {
		t.Fatalf("reservations %v", ips)
	}
	h.conf("10.conflist", `{"cniVersion":"1.0.0","name":"other","plugins":[{"type":"loopback"}]}`)
	m := h.manager()
	att = Attachment{PodID: att.PodID} // the record knows the rest
	if err := m.Detach(context.Background(), att); err == nil || !strings.Contains(err.Error(), "down") {
		t.Fatalf("Detach: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan struct{})
	q := NewQueue(m.Detach, QueueOptions{FirstDelay: time.Millisecond, MaxDelay: 10 * time.Millisecond,
		OnAttempt: func(_ Attachment, attempt int, _ error) {
			if attempt == 3 {
				h.fake("faulty", `exit 0`)
			}
		}})
	go func() { _ = q.Run(ctx) }()
	q.Add(att, func() { close(done) })
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("the queue never got it done")
	}
}

// A caller that goes away does not interrupt a plugin.
func TestCancelledCallerDoesNotKillPlugins(t *testing.T) {
	h := newHost(t)
	h.fake("slow", `touch `+h.dir+`/began-$CNI_COMMAND; sleep 0.3; touch `+h.dir+`/ended-$CNI_COMMAND; `+pass)
	h.conf("10.conflist", h.bridgeConf("1.0.0", `,{"type":"slow"}`))
	m := h.manager()
	att := h.pod()
	for _, verb := range []string{"ADD", "DEL"} {
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			eventually(t, "the plugin to begin", func() error { _, err := os.Stat(h.dir + "/began-" + verb); return err })
			cancel()
		}()
		var err error
		if verb == "ADD" {
			_, err = m.Attach(ctx, att)
		} else {
			err = m.Detach(ctx, att)
		}
		if err != nil {
			t.Errorf("%s: %v", verb, err)
		}
		if _, err := os.Stat(h.dir + "/ended-" + verb); err != nil {
			t.Errorf("%s was interrupted", verb)
		}
		if ctx.Err() == nil {
			t.Error("the caller did not go away in time")
		}
	}
}

// A plugin that outlives a killed daemon holds the pod's lock, and DEL waits for it.
func TestDetachWaitsForAnOrphanedPlugin(t *testing.T) {
	h := newHost(t)
	m := h.manager()
	att := h.pod()
	h.attach(m, att)
	_, ended := h.orphan(att, "sleep 0.5; touch "+h.dir+"/orphan-ended")
	h.detach(h.manager(), att)
	if _, err := os.Stat(h.dir + "/orphan-ended"); err != nil {
		t.Error("DEL did not wait")
	}
	<-ended
}

// One that never ends does not hold the pod for ever.
func TestDetachGoesOnWithoutAHungOrphan(t *testing.T) {
	h := newHost(t)
	att := h.pod()
	h.attach(h.manager(), att)
	orphan, ended := h.orphan(att, "exec sleep 1000")
	h.opts.Timeouts.Del = 3 * time.Second
	h.detach(h.manager(), att)
	_ = orphan.Process.Kill()
	<-ended
}

// orphan starts a process that holds the pod's record as a plugin would.
func (h *host) orphan(att Attachment, script string) (*exec.Cmd, chan struct{}) {
	h.t.Helper()
	f, err := os.OpenFile(filepath.Join(h.dir, "cache/attachments", att.PodID+".json"), os.O_RDWR, 0)
	if err != nil {
		h.t.Fatal(err)
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		h.t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", script)
	cmd.ExtraFiles = []*os.File{f}
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }()
	return cmd, ended
}

// A hanging plugin of one pod does not hold up another.
func TestHungPodDoesNotHoldOthers(t *testing.T) {
	h := newHost(t)
	h.opts.Timeouts.Add = 6 * time.Second
	h.fake("picky", `case "$CNI_COMMAND$CNI_ARGS" in ADD*K8S_POD_NAME=pod1*) touch `+h.dir+`/began; sleep 1000;; DEL*) exit 0;; esac; `+pass)
	h.conf("10.conflist", h.bridgeConf("1.0.0", `,{"type":"picky"}`))
	m := h.manager()
	hung, fine := h.pod(), h.pod()
	ended := make(chan error, 1)
	go func() {
		_, err := m.Attach(context.Background(), hung)
		ended <- err
	}()
	eventually(t, "the plugin to hang", func() error { _, err := os.Stat(h.dir + "/began"); return err })
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := m.Detach(ctx, hung); !errdefs.IsDeadlineExceeded(err) {
		t.Errorf("a second call about the hung pod has to give up with its caller: %v", err)
	}
	h.attach(m, fine)
	h.detach(m, fine)
	select {
	case err := <-ended:
		t.Errorf("the hung pod ended before the other one: %v", err)
	default:
		if err := <-ended; !errdefs.IsDeadlineExceeded(err) {
			t.Errorf("hung pod: %v", err)
		}
	}
}

// A plugin that leaves a process behind which holds its output does not hang the call.
func TestDaemonisedChildHoldsOutput(t *testing.T) {
	h := newHost(t)
	h.fake("forker", `[ $CNI_COMMAND = DEL ] && exit 0; setsid sleep 5 & `+pass)
	h.conf("10.conflist", h.bridgeConf("1.0.0", `,{"type":"forker"}`))
	m := h.manager()
	att := h.pod()
	begin := time.Now()
	h.attach(m, att)
	h.detach(h.manager(), att)
	if took := time.Since(begin); took > 4*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestObserver(t *testing.T) {
	h := newHost(t)
	var mu sync.Mutex
	var seen []string
	note := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, fmt.Sprintf(format, args...))
	}
	h.opts.Observer = Observer{
		Plugin:    func(plugin, verb string, err error, took time.Duration) { note("%s %s %v", plugin, verb, err == nil) },
		Operation: func(verb string, err error, took time.Duration) { note("%s %v", verb, err == nil) },
	}
	m := h.manager()
	att := h.pod()
	h.attach(m, att)
	h.detach(m, att)
	// portmap and bandwidth had nothing to do, so they were not run.
	if got, want := strings.Join(seen, ", "), "bridge ADD true, ADD true, bridge DEL true, DEL true"; got != want {
		t.Errorf("observed %s, want %s", got, want)
	}
}
