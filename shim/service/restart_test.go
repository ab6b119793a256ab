package service_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/berth-run/berth/shim"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// TestDaemonRestart kills containerd while a container writes and logs are rotated, and while
// another ends.
func TestDaemonRestart(t *testing.T) {
	h := newHost(t)
	p := h.newPod()
	const n = 200000
	writer := p.newCtr(fmt.Sprintf("seq 1 %d; sleep 2; seq %d %d; exit 3", n, n+1, 2*n), shim.IOConfig{}).start()
	short := p.newCtr("read x < /dev/zero & sleep 0.3; echo bye; exit 7", shim.IOConfig{}).start()
	logs := []string{}
	rotate := func() {
		to := fmt.Sprintf("%s.%d", writer.log, len(logs))
		if err := os.Rename(writer.log, to); err != nil {
			t.Fatal(err)
		}
		if err := p.proc.Client().ReopenLog(h.ctx(), writer.id); err != nil {
			t.Fatal(err)
		}
		logs = append(logs, to)
	}
	rotate()
	h.killDaemon()
	for range 10 {
		rotate()
		time.Sleep(20 * time.Millisecond)
	}
	found, err := shim.Find(shim.PodDir(h.root, p.id))
	if err != nil || found.PID() != p.proc.PID() {
		t.Fatalf("Find = %v, %v; the shim is %d", found, err, p.proc.PID())
	}
	if r := short.wait(10 * time.Second); r.ExitCode != 7 {
		t.Errorf("exit code of the short one: %+v", r)
	}
	r := writer.wait(30 * time.Second)
	if r.ExitCode != 3 || r.LogDroppedBytes != 0 {
		t.Errorf("record of the writer: %+v", r)
	}
	got := lines(t, append(logs, writer.log)...)
	if len(got) != 2*n {
		t.Fatalf("%d lines, want %d", len(got), 2*n)
	}
	for i, line := range got {
		if line != strconv.Itoa(i+1) {
			t.Fatalf("line %d is %q", i+1, line)
		}
	}
	if got := lines(t, short.log); len(got) != 1 || got[0] != "bye" {
		t.Errorf("log of the short one: %q", got)
	}
	h.startDaemon()
	p.host, writer.pod, short.pod = h, p, p
	// containerd deletes tasks that have no process left; the records stay.
	for _, k := range []*ctr{writer, short} {
		data, err := os.ReadFile(k.status)
		if err != nil {
			t.Fatal(err)
		}
		var rec shim.Record
		if err := json.Unmarshal(data, &rec); err != nil || rec.State != shim.StateExited || rec.StartedAt.IsZero() || rec.ExitedAt.Before(rec.StartedAt) {
			t.Errorf("status file %s: %v", data, err)
		}
	}
	st, err := p.proc.Client().Status(h.ctx())
	if err != nil || len(st.Containers) != 2 {
		t.Errorf("status after the restart: %+v, %v", st, err)
	}
	// And the pod goes on: a container under the new daemon.
	k := p.newCtr("echo again", shim.IOConfig{}).start()
	if r := k.wait(10 * time.Second); r.ExitCode != 0 {
		t.Errorf("record after the restart: %+v", r)
	}
}

func testLaunchTwice(t *testing.T, h *host) {
	p := h.newPod()
	again, err := shim.Launch(h.ctx(), h.launchSpec(p.id))
	if err != nil || again.PID() != p.proc.PID() {
		t.Fatalf("second Launch: %+v, %v; the first has pid %d", again, err, p.proc.PID())
	}
	var wg sync.WaitGroup
	wg.Go(func() { <-again.Exited() })
	if err := p.proc.Kill(h.ctx()); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if p.proc.Alive() || again.Alive() {
		t.Error("alive after Kill")
	}
	if _, err := shim.Find(shim.PodDir(h.root, p.id)); !errdefs.IsNotFound(err) {
		t.Errorf("Find of a dead shim: %v", err)
	}
	if _, err := p.proc.Client().Status(h.ctx()); !errdefs.IsUnavailable(err) {
		t.Errorf("Status of a dead shim: %v", err)
	}
	// A new one takes the place of a dead one.
	if p.proc, err = shim.Launch(h.ctx(), h.launchSpec(p.id)); err != nil {
		t.Fatal(err)
	}
	if _, err := shim.Dial(h.ctx(), p.proc.ControlPath()); err != nil {
		t.Error(err)
	}
}

func testSignals(t *testing.T, h *host) {
	p := h.newPod()
	k := p.newCtr("trap 'echo term; exit 9' TERM; echo ready; while :; do sleep 0.05; done", shim.IOConfig{}).start()
	for _, s := range []unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP} {
		if err := unix.Kill(p.proc.PID(), s); err != nil {
			t.Fatal(err)
		}
	}
	if st, err := p.proc.Client().Status(h.ctx()); err != nil || st.Containers[0].State != shim.StateRunning {
		t.Fatalf("after signals to the shim: %+v, %v", st, err)
	}
	for len(lines(t, k.log)) == 0 {
		time.Sleep(10 * time.Millisecond)
	}
	if err := k.task.Kill(h.ctx(), unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if r := k.wait(10 * time.Second); r.ExitCode != 9 {
		t.Errorf("the container did not get its SIGTERM: %+v", r)
	}
}

// testKilledShim: containerd calls `berth-shim delete`, which ends what the shim has left behind.
func testKilledShim(t *testing.T, h *host) {
	p := h.newPod()
	k := p.newCtr("sleep 300", shim.IOConfig{}).start()
	if err := p.proc.Kill(h.ctx()); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); unix.Kill(int(k.task.Pid()), 0) == nil; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the container outlives its shim")
		}
	}
}

// testOrdinaryShim lets containerd start berth-shim as it starts its own.
func testOrdinaryShim(t *testing.T, h *host) {
	k := &ctr{pod: &pod{host: h}, id: newID(t)}
	dir := filepath.Join(h.root, "containers", k.id)
	rootfs := filepath.Join(dir, "rootfs")
	if err := os.MkdirAll(rootfs, 0o755); err != nil {
		t.Fatal(err)
	}
	c, err := h.client.NewContainer(h.ctx(), k.id, h.runtime(),
		containerd.WithNewSpec(oci.WithRootFSPath(rootfs), oci.WithProcessArgs("/bin/sh", "-c", "echo ordinary; exit 4"), withHostPrograms, oci.WithCgroup("/berth-shim-test/"+k.id)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.remove)
	log := filepath.Join(dir, "0.log")
	task, err := c.NewTask(h.ctx(), shim.Creator(shim.IOConfig{LogPath: log}))
	if err != nil {
		t.Fatal(err)
	}
	exit, err := task.Wait(h.ctx())
	if err != nil {
		t.Fatal(err)
	}
	if err := task.Start(h.ctx()); err != nil {
		t.Fatal(err)
	}
	if es := <-exit; es.ExitCode() != 4 {
		t.Errorf("exit status %+v", es)
	}
	if n := processes(t, k.id); n != 1 {
		t.Errorf("%d shims for the container", n)
	}
	if _, err := task.Delete(h.ctx()); err != nil {
		t.Fatal(err)
	}
	if got := lines(t, log); fmt.Sprint(got) != "[ordinary]" {
		t.Errorf("log %q", got)
	}
	for deadline := time.Now().Add(10 * time.Second); processes(t, k.id) > 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the shim does not end with its container")
		}
	}
}

// processes counts those that were started with -id and the ID.
func processes(t *testing.T, id string) (n int) {
	t.Helper()
	paths, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range paths {
		if data, err := os.ReadFile(path); err == nil && bytes.Contains(data, []byte("\x00-id\x00"+id)) {
			n++
		}
	}
	return n
}
