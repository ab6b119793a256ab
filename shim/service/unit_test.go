package service

import (
	"fmt"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/berth-run/berth/shim/api"
	"github.com/containerd/errdefs"
)

func TestRegistry(t *testing.T) {
	g := newRegistry()
	rec := func(id string, s api.State) api.Record { return api.Record{ID: id, State: s} }
	g.publish(api.EventCreated, rec("a", api.StateCreated))
	g.publish(api.EventStarted, rec("a", api.StateRunning))
	snapshot, w := g.watch()
	if len(snapshot) != 1 || snapshot[0].State != api.StateRunning {
		t.Fatalf("snapshot %+v", snapshot)
	}
	g.publish(api.EventExited, rec("a", api.StateExited))
	if e := <-w.events; e.Type != api.EventExited {
		t.Errorf("event %+v", e)
	}
	// What was forgotten stays so.
	g.remove("a")
	g.publish(api.EventDeleted, rec("a", api.StateExited))
	if all := g.all(); len(all) != 0 {
		t.Errorf("records after forgetting: %+v", all)
	}
	// A watcher that takes nothing is cut off, after all that it could hold.
	for range watchQueue + 10 {
		g.publish(api.EventCreated, rec("b", api.StateCreated))
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
		r := rec(fmt.Sprint(i), api.StateExited)
		g.publish(api.EventCreated, r)
		r.Deleted = true
		g.publish(api.EventDeleted, r)
	}
	if n := len(g.all()); n > maxRecords {
		t.Errorf("%d records", n)
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
		f.send(api.StreamStdout, chunk)
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
