package service_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/berth-run/berth/shim"
	"github.com/containerd/errdefs"
)

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
