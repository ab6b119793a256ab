package service_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-run/berth/shim"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
)

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
