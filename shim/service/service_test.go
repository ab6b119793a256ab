package service_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-run/berth/shim"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/oci"
)

var errFound = errors.New("found")

// TestPod runs against one containerd; every subtest has a pod of its own.
func TestPod(t *testing.T) {
	h := newHost(t)
	for name, test := range map[string]func(*testing.T, *host){
		"lifecycle":             testLifecycle,
		"exit code":             testExitCode,
		"never started":         testNeverStarted,
		"create fails":          testCreateFails,
		"oom":                   testOOM,
		"oom of a child":        testOOMOfChild,
		"children hold stdio":   testChildrenHoldStdio,
		"two attached clients":  testAttach,
		"slow client":           testSlowClient,
		"stdin once":            testStdinOnce,
		"stdin kept open":       testStdinKept,
		"stdin not read":        testStdinNotRead,
		"terminal":              testTerminal,
		"exec passes through":   testExec,
		"execs leave nothing":   testManyExecs,
		"control socket":        testControlErrors,
		"launch twice and find": testLaunchTwice,
		"signals":               testSignals,
		"full disk":             testFullDisk,
		"full speed":            testFullSpeed,
		"killed shim":           testKilledShim,
		"ordinary shim":         testOrdinaryShim,
		"unfinished client":     testHostileControl,
	} {
		t.Run(name, func(t *testing.T) {
			sub := *h
			sub.t = t
			test(t, &sub)
		})
	}
}

func testLifecycle(t *testing.T, h *host) {
	p := h.newPod()
	k := p.newCtr("echo out; echo err >&2; printf end; sleep 0.2", shim.IOConfig{})
	st, err := p.proc.Client().Status(h.ctx())
	if err != nil {
		t.Fatal(err)
	}
	if st.PID != p.proc.PID() || st.PodID != p.id || len(st.Containers) != 1 || st.Containers[0].State != shim.StateCreated {
		t.Errorf("status %+v", st)
	}
	var types []shim.EventType
	done := make(chan error, 1)
	synced := make(chan struct{})
	go func() {
		done <- p.proc.Client().Watch(h.ctx(), func(e shim.Event) error {
			types = append(types, e.Type)
			if e.Type == shim.EventSynced {
				close(synced)
			}
			if e.Type == shim.EventDeleted {
				return errFound
			}
			return nil
		})
	}()
	<-synced
	exit, err := k.task.Wait(h.ctx())
	if err != nil {
		t.Fatal(err)
	}
	k.start()
	if es := <-exit; es.ExitCode() != 0 || es.Error() != nil {
		t.Errorf("containerd's exit status %+v", es)
	}
	// What containerd's Wait reported is recorded already.
	var rec shim.Record
	data, err := os.ReadFile(k.status)
	if err != nil || json.Unmarshal(data, &rec) != nil || rec.State != shim.StateExited || rec.PID != int(k.task.Pid()) {
		t.Errorf("status file %s, %v", data, err)
	}
	if _, err := k.task.Delete(h.ctx()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != errFound {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(types), "[snapshot synced started exited deleted]"; got != want {
		t.Errorf("events %s, want %s", got, want)
	}
	if got := lines(t, k.log); fmt.Sprint(got) != "[out end]" {
		t.Errorf("stdout %q", got)
	}
	log, _ := os.ReadFile(k.log)
	if !bytes.Contains(log, []byte(" stderr F err\n")) || !bytes.Contains(log, []byte(" stdout P end\n")) {
		t.Errorf("log %s", log)
	}
	if !p.proc.Alive() {
		t.Error("the shim went with its last container")
	}
	if err := p.proc.Client().Forget(h.ctx(), k.id); err != nil {
		t.Error(err)
	}
	if st, err := p.proc.Client().Status(h.ctx()); err != nil || len(st.Containers) != 0 {
		t.Errorf("status after forget: %+v, %v", st, err)
	}
}

func testExitCode(t *testing.T, h *host) {
	p := h.newPod()
	for script, want := range map[string]int32{"exit 42": 42, "kill -9 $$; sleep 1": 137, "exec /nonexistent": 127} {
		k := p.newCtr(script, shim.IOConfig{}, oci.WithHostNamespace("pid")).start()
		if r := k.wait(10 * time.Second); r.ExitCode != want || r.OOMKilled {
			t.Errorf("%q: %+v, want %d", script, r, want)
		}
	}
}

func testNeverStarted(t *testing.T, h *host) {
	p := h.newPod()
	k := p.newCtr("true", shim.IOConfig{})
	if _, err := k.task.Delete(h.ctx(), containerd.WithProcessKill); err != nil {
		t.Fatal(err)
	}
	r := k.wait(5 * time.Second)
	if r.ExitCode != 137 || !r.StartedAt.IsZero() || !r.Deleted {
		t.Errorf("record %+v", r)
	}
}

func testCreateFails(t *testing.T, h *host) {
	p := h.newPod()
	k := &ctr{pod: p, id: newID(t)}
	dir := filepath.Join(h.root, "containers", k.id)
	if err := os.MkdirAll(filepath.Join(dir, "rootfs"), 0o755); err != nil {
		t.Fatal(err)
	}
	c, err := h.client.NewContainer(h.ctx(), k.id, h.runtime(), containerd.WithSandbox(p.id),
		containerd.WithNewSpec(oci.WithRootFSPath(filepath.Join(dir, "rootfs")), oci.WithProcessArgs("/nothing"), oci.WithCgroup("/berth-shim-test/"+k.id)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.remove)
	endpoint := containerd.WithTaskAPIEndpoint(p.proc.TaskEndpoint(), shim.TaskAPIVersion)
	missing := shim.IOConfig{LogPath: filepath.Join(dir, "missing", "0.log")}
	if _, err := c.NewTask(h.ctx(), shim.Creator(missing), endpoint); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("log in a missing directory: %v", err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "link.log")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.NewTask(h.ctx(), shim.Creator(shim.IOConfig{LogPath: filepath.Join(dir, "link.log")}), endpoint); err == nil {
		t.Error("a symbolic link was taken for a log")
	}
	before := fds(t, p.proc.PID())
	for range 5 {
		if _, err := c.NewTask(h.ctx(), shim.Creator(shim.IOConfig{LogPath: filepath.Join(dir, "0.log"), Stdin: true}), endpoint); err == nil {
			t.Fatal("a program that does not exist was created")
		}
	}
	if after := fds(t, p.proc.PID()); after > before+2 {
		t.Errorf("the shim has %d descriptors after failed creates, %d before", after, before)
	}
	if st, err := p.proc.Client().Status(h.ctx()); err != nil || len(st.Containers) != 0 {
		t.Errorf("status %+v, %v", st, err)
	}
	if err := p.proc.Client().Shutdown(h.ctx(), false); err != nil {
		t.Errorf("shutdown of an idle shim: %v", err)
	}
}

func fds(t testing.TB, pid int) int {
	t.Helper()
	n := 0
	for _, name := range fdNames(t, pid) {
		// os/exec's pidfds go with the next garbage collection.
		if !strings.HasSuffix(name, "[pidfd]") {
			n++
		}
	}
	return n
}

func fdNames(t testing.TB, pid int) (names []string) {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	ents, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range ents {
		to, _ := os.Readlink(filepath.Join(dir, e.Name()))
		names = append(names, e.Name()+" -> "+to)
	}
	return names
}

func testOOM(t *testing.T, h *host) {
	p := h.newPod()
	k := p.newCtr("exec tail /dev/zero", shim.IOConfig{}, oci.WithMemoryLimit(32<<20)).start()
	if r := k.wait(30 * time.Second); !r.OOMKilled || r.ExitCode != 137 || r.OOMKills == 0 {
		t.Errorf("record %+v", r)
	}
}

func testOOMOfChild(t *testing.T, h *host) {
	p := h.newPod()
	k := p.newCtr("tail /dev/zero; exit 0", shim.IOConfig{}, oci.WithMemoryLimit(32<<20)).start()
	if r := k.wait(30 * time.Second); r.OOMKilled || r.ExitCode != 0 || r.OOMKills == 0 {
		t.Errorf("init survived and completed: %+v", r)
	}
}
