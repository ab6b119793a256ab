package service_test

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/berth-run/berth/shim"
	"github.com/containerd/errdefs"
)

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
