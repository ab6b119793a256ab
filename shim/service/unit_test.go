package service

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/berth-run/berth/shim"
	"github.com/containerd/errdefs"
)

func TestParseCgroup(t *testing.T) {
	for name, tc := range map[string]struct {
		in  string
		dir string
		v2  bool
	}{
		"v1":      {"5:cpu,cpuacct:/a\n4:memory:/pod/ctr\n0::/\n", "/sys/fs/cgroup/memory/pod/ctr", false},
		"v1 last": {"0::/x\n4:memory,hugetlb:/pod\n", "/sys/fs/cgroup/memory/pod", false},
		"v2":      {"0::/kubepods.slice/cri-x.scope\n", "/sys/fs/cgroup/kubepods.slice/cri-x.scope", true},
		"colon":   {"0::/a:b\n", "/sys/fs/cgroup/a:b", true},
		"named":   {"1:name=systemd:/x\n", "", false},
		"empty":   {"", "", false},
	} {
		if dir, v2 := parseCgroup(tc.in); dir != tc.dir || v2 != tc.v2 {
			t.Errorf("%s: %q, %t", name, dir, v2)
		}
	}
}

func TestOOMKillsOfNestedCgroups(t *testing.T) {
	dir := t.TempDir()
	nested := filepath.Join(dir, "a", "b")
	if err := os.MkdirAll(nested, 0o700); err != nil {
		t.Fatal(err)
	}
	for d, n := range map[string]int{dir: 1, nested: 2} {
		v1 := fmt.Sprintf("oom_kill_disable 0\nunder_oom 0\noom_kill %d\n", n)
		v2 := fmt.Sprintf("low 0\noom 9\noom_kill %d\noom_group_kill 7\n", 3*n)
		for name, data := range map[string]string{"memory.oom_control": v1, "memory.events": v2} {
			if err := os.WriteFile(filepath.Join(d, name), []byte(data), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := oomKills(dir, false); got != 3 {
		t.Errorf("v1: %d, want the sum 3", got)
	}
	if got := oomKills(dir, true); got != 3 {
		t.Errorf("v2: %d, want 3, which has nested ones in it", got)
	}
	if got := oomKills("", true) + oomKills(filepath.Join(dir, "gone"), false); got != 0 {
		t.Errorf("no cgroup: %d", got)
	}
}

func TestRegistry(t *testing.T) {
	g := newRegistry()
	rec := func(id string, s shim.State) shim.Record { return shim.Record{ID: id, State: s} }
	g.publish(shim.EventCreated, rec("a", shim.StateCreated))
	g.publish(shim.EventStarted, rec("a", shim.StateRunning))
	snapshot, w := g.watch()
	if len(snapshot) != 1 || snapshot[0].State != shim.StateRunning {
		t.Fatalf("snapshot %+v", snapshot)
	}
	g.publish(shim.EventExited, rec("a", shim.StateExited))
	if e := <-w.events; e.Type != shim.EventExited {
		t.Errorf("event %+v", e)
	}
	// What was forgotten stays so.
	g.remove("a")
	g.publish(shim.EventDeleted, rec("a", shim.StateExited))
	if all := g.all(); len(all) != 0 {
		t.Errorf("records after forgetting: %+v", all)
	}
	// A watcher that takes nothing is cut off, after all that it could hold.
	for range watchQueue + 10 {
		g.publish(shim.EventCreated, rec("b", shim.StateCreated))
	}
	n := 0
	for range w.events {
		n++
	}
	if n != watchQueue {
		t.Errorf("the slow watcher got %d events", n)
	}
	g.drop(w) // a second time
	// Nor do records of deleted tasks pile up.
	for i := range maxRecords + 10 {
		r := rec(fmt.Sprint(i), shim.StateExited)
		g.publish(shim.EventCreated, r)
		r.Deleted = true
		g.publish(shim.EventDeleted, r)
	}
	if n := len(g.all()); n > maxRecords {
		t.Errorf("%d records", n)
	}
}

func TestMonitorGivesStreamsToCreateOnly(t *testing.T) {
	m := newMonitor(nil)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	m.expect("id", stdio{out: w, err: w})
	for _, args := range [][]string{
		{"runc", "exec", "--process", "p", "id"}, {"runc", "create", "--bundle", "b", "other"}, {"runc"}, {},
	} {
		cmd := &exec.Cmd{Args: args}
		if m.replace(cmd); cmd.Stdout != nil {
			t.Errorf("%q got the streams", args)
		}
	}
	cmd := &exec.Cmd{Args: []string{"runc", "--root", "r", "create", "--bundle", "b", "id"}}
	if m.replace(cmd); cmd.Stdout != w || cmd.Stderr != w || cmd.Stdin != nil {
		t.Errorf("create got %+v", cmd)
	}
	if !m.forget("id") {
		t.Error("not noticed that they were taken")
	}
	m.expect("id", stdio{})
	if m.forget("id") {
		t.Error("taken by nobody")
	}
}

// socketPair is a connected pair of unix sockets.
func socketPair(t *testing.T) (a, b *net.UnixConn) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "s")})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if a, err = l.AcceptUnix(); err != nil {
		t.Fatal(err)
	}
	b = c.(*net.UnixConn)
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// TestStuckClientHoldsUpOnce shows the bound on what an attached client can cost a container.
func TestStuckClientHoldsUpOnce(t *testing.T) {
	conn, _ := socketPair(t)
	var f fanout
	c := newClient(conn, true, false)
	if err := f.add(c); err != nil {
		t.Fatal(err)
	}
	go c.run()
	chunk := make([]byte, readBytes)
	begin, worst := time.Now(), time.Duration(0)
	for range 100 {
		b := time.Now()
		f.send(shim.StreamStdout, chunk)
		worst = max(worst, time.Since(b))
	}
	if took := time.Since(begin); took > 3*patience {
		t.Errorf("sending took %v, %v at once", took, worst)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !errdefs.IsResourceExhausted(c.err) || c.queue != nil {
		t.Errorf("client ended with %v, %d frames queued", c.err, len(c.queue))
	}
}

func TestFanoutIsBounded(t *testing.T) {
	conn, _ := socketPair(t)
	var f fanout
	for range maxClients {
		if err := f.add(newClient(conn, true, true)); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.add(newClient(conn, true, true)); !errdefs.IsResourceExhausted(err) {
		t.Errorf("one more client: %v", err)
	}
	f.close()
	if err := f.add(newClient(conn, true, true)); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("after the end: %v", err)
	}
}

func TestHungUp(t *testing.T) {
	a, b := socketPair(t)
	if hungUp(a) {
		t.Error("an open connection")
	}
	if _, err := b.Write([]byte("still to read")); err != nil {
		t.Fatal(err)
	}
	b.Close()
	if !hungUp(a) {
		t.Error("not noticed behind unread data")
	}
}

func TestOOMKilledNeedsAFailure(t *testing.T) {
	for _, tc := range []struct {
		kills uint64
		code  int32
		want  bool
	}{{0, 137, false}, {1, 137, true}, {3, 1, true}, {1, 0, false}} {
		if got := oomKilled(tc.kills, tc.code); got != tc.want {
			t.Errorf("%+v: %t", tc, got)
		}
	}
}
