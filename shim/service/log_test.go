package service_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-run/berth/shim"
	"github.com/containerd/containerd/v2/pkg/oci"
	"golang.org/x/sys/unix"
)

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
