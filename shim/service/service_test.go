package service_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-run/berth/shim"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
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

// TestDaemonRestart kills containerd while a container writes and logs are rotated, and while
// another ends.
func TestDaemonRestart(t *testing.T) {
	h := newHost(t)
	p := h.newPod()
	const n = 200000
	writer := p.newCtr(fmt.Sprintf("seq 1 %d; sleep 0.5; seq %d %d; exit 3", n, n+1, 2*n), shim.IOConfig{}).start()
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
	if _, err := c.NewTask(h.ctx(), missing.Creator(), endpoint); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("log in a missing directory: %v", err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "link.log")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.NewTask(h.ctx(), shim.IOConfig{LogPath: filepath.Join(dir, "link.log")}.Creator(), endpoint); err == nil {
		t.Error("a symbolic link was taken for a log")
	}
	before := fds(t, p.proc.PID())
	for range 5 {
		if _, err := c.NewTask(h.ctx(), shim.IOConfig{LogPath: filepath.Join(dir, "0.log"), Stdin: true}.Creator(), endpoint); err == nil {
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

func testChildrenHoldStdio(t *testing.T, h *host) {
	p := h.newPod()
	// The child runs in the exec'd container's PID namespace of the host, and outlives init.
	k := p.newCtr("setsid sh -c 'while :; do echo child; sleep 0.05; done' & sleep 0.2; echo init; exit 5", shim.IOConfig{}, oci.WithHostNamespace("pid")).start()
	begin := time.Now()
	r := k.wait(10 * time.Second)
	if r.ExitCode != 5 || time.Since(begin) > 4*time.Second {
		t.Errorf("record %+v after %v", r, time.Since(begin))
	}
	if log, _ := os.ReadFile(k.log); !bytes.Contains(log, []byte(" stdout F init\n")) {
		t.Errorf("log %s", log)
	}
}

// collect attaches and returns what came when the attach ends.
type collect struct {
	out, err bytes.Buffer
	done     chan error
}

func (k *ctr) attach(stdin io.Reader, both bool) *collect {
	k.t.Helper()
	c := &collect{done: make(chan error, 1)}
	ready := make(chan struct{})
	o := shim.AttachOptions{Stdin: stdin, Stdout: &c.out, Ready: func() { close(ready) }}
	if both {
		o.Stderr = &c.err
	}
	go func() { c.done <- k.proc.Client().Attach(k.ctx(), k.id, o) }()
	select {
	case <-ready:
	case err := <-c.done:
		k.t.Fatalf("attach: %v", err)
	}
	return c
}

func testAttach(t *testing.T, h *host) {
	p := h.newPod()
	k := p.newCtr("seq 1 50000; echo e >&2", shim.IOConfig{})
	a, b := k.attach(nil, true), k.attach(nil, false)
	k.start()
	k.wait(20 * time.Second)
	for _, c := range []*collect{a, b} {
		if err := <-c.done; err != nil {
			t.Errorf("attach ended with %v", err)
		}
	}
	want := strings.Join(lines(t, k.log), "\n") + "\n"
	if strings.Count(want, "\n") != 50000 || a.out.String() != want || b.out.String() != want {
		t.Errorf("attached clients got %d and %d bytes, the log has %d", a.out.Len(), b.out.Len(), len(want))
	}
	if a.err.String() != "e\n" {
		t.Errorf("stderr %q", a.err.String())
	}
	if err := p.proc.Client().Attach(h.ctx(), k.id, shim.AttachOptions{Stdout: io.Discard}); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("attach to an ended container: %v", err)
	}
}

// blocked is a writer that takes nothing until released.
type blocked struct{ release chan struct{} }

func (b blocked) Write(p []byte) (int, error) { <-b.release; return len(p), nil }

func testSlowClient(t *testing.T, h *host) {
	p := h.newPod()
	k := p.newCtr("seq 1 2000000", shim.IOConfig{})
	b := blocked{make(chan struct{})}
	done := make(chan error, 1)
	ready := make(chan struct{})
	go func() {
		done <- p.proc.Client().Attach(h.ctx(), k.id, shim.AttachOptions{Stdout: b, Ready: func() { close(ready) }})
	}()
	<-ready
	k.start()
	if r := k.wait(30 * time.Second); r.LogDroppedBytes != 0 || r.LogBytes == 0 {
		t.Errorf("record %+v", r)
	}
	if got := lines(t, k.log); len(got) != 2000000 {
		t.Errorf("%d lines, want all", len(got))
	}
	close(b.release)
	if err := <-done; !errdefs.IsResourceExhausted(err) {
		t.Errorf("the slow client's attach: %v", err)
	}
}

func testStdinOnce(t *testing.T, h *host) {
	p := h.newPod()
	k := p.newCtr("cat; echo eof", shim.IOConfig{Stdin: true, StdinOnce: true}).start()
	c := k.attach(strings.NewReader("hello\n"), false)
	if r := k.wait(10 * time.Second); r.ExitCode != 0 {
		t.Errorf("record %+v", r)
	}
	if err := <-c.done; err != nil || c.out.String() != "hello\neof\n" {
		t.Errorf("attach: %q, %v", c.out.String(), err)
	}
}

func testStdinKept(t *testing.T, h *host) {
	p := h.newPod()
	k := p.newCtr("cat; echo eof", shim.IOConfig{Stdin: true}).start()
	for _, s := range []string{"one\n", "two\n"} {
		// Only input: the attach ends with it.
		if err := p.proc.Client().Attach(h.ctx(), k.id, shim.AttachOptions{Stdin: strings.NewReader(s)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.proc.Client().CloseStdin(h.ctx(), k.id); err != nil {
		t.Fatal(err)
	}
	k.wait(10 * time.Second)
	if got := lines(t, k.log); fmt.Sprint(got) != "[one two eof]" {
		t.Errorf("log %q", got)
	}
}

func testStdinNotRead(t *testing.T, h *host) {
	p := h.newPod()
	k := p.newCtr("sleep 300", shim.IOConfig{Stdin: true}).start()
	for range 3 {
		ctx, cancel := context.WithTimeout(h.ctx(), 200*time.Millisecond)
		err := p.proc.Client().Attach(ctx, k.id, shim.AttachOptions{Stdin: zeros{}, Stdout: io.Discard})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("attach: %v", err)
		}
		cancel()
	}
	// Clients that have gone are noticed although the container reads nothing.
	for deadline := time.Now().Add(10 * time.Second); fds(t, p.proc.PID()) > 25; {
		if time.Now().After(deadline) {
			t.Fatalf("the shim still has %d descriptors", fds(t, p.proc.PID()))
		}
		time.Sleep(100 * time.Millisecond)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func testTerminal(t *testing.T, h *host) {
	p := h.newPod()
	before := fds(t, p.proc.PID())
	for range 3 {
		k := p.newCtr("stty size; read x; echo got $x >&2; stty size", shim.IOConfig{TTY: true, Stdin: true})
		if err := p.proc.Client().Resize(h.ctx(), k.id, 101, 37); err != nil {
			t.Fatal(err)
		}
		r, w := io.Pipe()
		c := k.attach(r, false)
		k.start()
		go func() { fmt.Fprint(w, "input\n") }()
		rec := k.wait(10 * time.Second)
		if err := <-c.done; err != nil || rec.ExitCode != 0 {
			t.Errorf("attach: %v, record %+v", err, rec)
		}
		w.Close()
		if got := c.out.String(); !strings.Contains(got, "37 101\r\n") || !strings.Contains(got, "got input\r\n") {
			t.Errorf("terminal gave %q", got)
		}
		if got := lines(t, k.log); len(got) != 4 || got[3] != "37 101" || got[2] != "got input" {
			t.Errorf("log %q", got)
		}
		if _, err := k.task.Delete(h.ctx()); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(5 * time.Second); fds(t, p.proc.PID()) > before+6; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			for _, d := range fdNames(t, p.proc.PID()) {
				t.Log(d)
			}
			t.Fatalf("descriptors: %d before, %d after three terminals", before, fds(t, p.proc.PID()))
		}
	}
}

func testExec(t *testing.T, h *host) {
	k := h.newPod().newCtr("sleep 300", shim.IOConfig{}).start()
	if out := k.exec("x", "in\n", "cat; echo done"); out != "in\ndone\n" {
		t.Errorf("exec gave %q", out)
	}
}

func testManyExecs(t *testing.T, h *host) {
	p := h.newPod()
	k := p.newCtr("sleep 300", shim.IOConfig{}).start()
	count := func() (goroutines, descriptors int) {
		st, err := p.proc.Client().Status(h.ctx())
		if err != nil {
			t.Fatal(err)
		}
		return st.Goroutines, fds(t, p.proc.PID())
	}
	k.exec("warm-up", "", "true")
	g, d := count()
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 10 {
				if out := k.exec(fmt.Sprintf("x-%d-%d", w, i), "", "echo x"); out != "x\n" {
					t.Errorf("exec gave %q", out)
				}
			}
		})
	}
	wg.Wait()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		g2, d2 := count()
		if g2 <= g+1 && d2 <= d+1 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines and %d descriptors before 40 execs, %d and %d after", g, d, g2, d2)
		}
	}
}

// exec runs a script in the container and returns its output.
func (k *ctr) exec(id, in, script string) string {
	k.t.Helper()
	spec, err := k.c.Spec(k.ctx())
	if err != nil {
		k.t.Error(err)
		return ""
	}
	proc := *spec.Process
	proc.Args = []string{"/bin/sh", "-c", script}
	var out bytes.Buffer
	e, err := k.task.Exec(k.ctx(), id, &proc, cio.NewCreator(cio.WithStreams(strings.NewReader(in), &out, io.Discard), cio.WithFIFODir(k.root)))
	if err != nil {
		k.t.Error(err)
		return ""
	}
	exit, err := e.Wait(k.ctx())
	if err == nil {
		err = e.Start(k.ctx())
	}
	if err == nil {
		err = e.CloseIO(k.ctx(), containerd.WithStdinCloser)
		<-exit
	}
	if _, derr := e.Delete(k.ctx()); err != nil || derr != nil {
		k.t.Error(err, derr)
	}
	return out.String()
}

func testControlErrors(t *testing.T, h *host) {
	p := h.newPod()
	c := p.proc.Client()
	k := p.newCtr("sleep 300", shim.IOConfig{}).start()
	for name, tc := range map[string]struct {
		err  error
		is   func(error) bool
		text string
	}{
		"unknown container": {c.ReopenLog(h.ctx(), "nope"), errdefs.IsNotFound, "nope"},
		"no stdin":          {c.Attach(h.ctx(), k.id, shim.AttachOptions{Stdin: strings.NewReader("")}), errdefs.IsFailedPrecondition, "no stdin"},
		"forget running":    {c.Forget(h.ctx(), k.id), errdefs.IsFailedPrecondition, "running"},
		"busy shutdown":     {c.Shutdown(h.ctx(), false), errdefs.IsFailedPrecondition, "1 tasks"},
		"nobody there":      {shim.NewClient(h.root+"/none").ReopenLog(h.ctx(), "x"), errdefs.IsUnavailable, "none"},
		"stop when busy":    {p.proc.Stop(h.ctx(), false), errdefs.IsFailedPrecondition, "1 tasks"},
	} {
		if !tc.is(tc.err) || !strings.Contains(tc.err.Error(), tc.text) {
			t.Errorf("%s: %v", name, tc.err)
		}
	}
	if err := c.Forget(h.ctx(), "unknown"); err != nil {
		t.Errorf("forget of an unknown container: %v", err)
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

func testFullDisk(t *testing.T, h *host) {
	p := h.newPod()
	k := p.newCtr("echo start; sleep 1; seq 1 20000; echo mark >&2; read x; echo after", shim.IOConfig{Stdin: true})
	small := filepath.Join(h.root, "small")
	if err := os.Mkdir(small, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", small, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(small, unix.MNT_DETACH) })
	if err := os.Rename(k.log, k.log+".0"); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(k.log + ".0"); err != nil {
		t.Fatal(err)
	}
	// The log's directory moves onto the small file system.
	dir := filepath.Dir(k.log)
	if err := unix.Mount(small, dir, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	if err := p.proc.Client().ReopenLog(h.ctx(), k.id); err != nil {
		t.Fatal(err)
	}
	k.start()
	var st *shim.Status
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		var err error
		if st, err = p.proc.Client().Status(h.ctx()); err != nil {
			t.Fatal(err)
		}
		r := st.Containers[0]
		if r.LogBytes+r.LogDroppedBytes == 6+108894+5 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the container does not go on with a full disk: %+v", r)
		}
	}
	dropped := st.Containers[0].LogDroppedBytes
	if dropped == 0 {
		t.Fatal("nothing was dropped: the test's disk is too big")
	}
	if err := os.Truncate(k.log, 0); err != nil {
		t.Fatal(err)
	}
	if err := p.proc.Client().Attach(h.ctx(), k.id, shim.AttachOptions{Stdin: strings.NewReader("\n")}); err != nil {
		t.Fatal(err)
	}
	r := k.wait(10 * time.Second)
	if r.LogDroppedBytes != dropped || r.LogError != "" {
		t.Errorf("record %+v, dropped %d", r, dropped)
	}
	log, _ := os.ReadFile(k.log)
	if want := fmt.Sprintf("(%d bytes)", dropped); !bytes.Contains(log, []byte(want)) || !bytes.Contains(log, []byte(" F after\n")) {
		t.Errorf("log %s", log)
	}
}

// testFullSpeed looks at the longest write of a container that writes as fast as it can, with a
// daemon coming and going.
func testFullSpeed(t *testing.T, h *host) {
	p := h.newPod()
	k := p.newCtr(`exec perl -MTime::HiRes=time -e '
		$| = 1; my ($w, $n) = (0, 0); my $line = ("x" x 99) . "\n"; my $end = time + 3;
		while ((my $a = time) < $end) { syswrite(STDOUT, $line); my $d = time - $a; $w = $d if $d > $w; $n++ }
		printf "worst %.1f ms, %d lines\n", $w * 1000, $n'`, shim.IOConfig{}).start()
	for range 20 {
		ctx, cancel := context.WithTimeout(h.ctx(), 50*time.Millisecond)
		_ = p.proc.Client().Attach(ctx, k.id, shim.AttachOptions{Stdout: io.Discard})
		cancel()
		if err := p.proc.Client().ReopenLog(h.ctx(), k.id); err != nil {
			t.Fatal(err)
		}
	}
	k.wait(20 * time.Second)
	got := lines(t, k.log)
	var worst float64
	var n int
	last := got[len(got)-1]
	if _, err := fmt.Sscanf(last, "worst %f ms, %d lines", &worst, &n); err != nil {
		t.Fatalf("last line %q: %v", last, err)
	}
	t.Log(last)
	if len(got) != n+1 {
		t.Errorf("%d lines in the log, %d written", len(got)-1, n)
	}
	// The bound is 100 ms; a busy test machine adds its own waits.
	if worst > 500 {
		t.Errorf("the container stood still: %s", last)
	}
}

// testHostileControl sends what no client sends.
func testHostileControl(t *testing.T, h *host) {
	p := h.newPod()
	for _, in := range []string{"", "\n", "{}\n", "null\n", `{"op":"attach"}` + "\n", `{"version":99,"op":"teleport"}` + "\n", strings.Repeat("x", 1<<20)} {
		conn, err := net.Dial("unix", p.proc.ControlPath())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		go func() { _, _ = io.WriteString(conn, in) }()
		if in != "" {
			out, _ := io.ReadAll(conn)
			if len(in) < 100 && !bytes.Contains(out, []byte(`"code":`)) {
				t.Errorf("%q is answered by %q", in, out)
			}
		}
		conn.Close()
	}
	if _, err := p.proc.Client().Status(h.ctx()); err != nil {
		t.Error(err)
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
	task, err := c.NewTask(h.ctx(), shim.IOConfig{LogPath: log}.Creator())
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
