package ocispec

import (
	"encoding/json"
	"slices"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestExecTerm: a command with a terminal has a TERM, the container's own if there is one, and the
// container's process is not changed.
func TestExecTerm(t *testing.T) {
	for _, c := range []struct {
		env  []string
		tty  bool
		want []string
	}{
		{[]string{"A=b"}, true, []string{"A=b", "TERM=xterm"}},
		{[]string{"TERM=vt100", "A=b"}, true, []string{"TERM=vt100", "A=b"}},
		{[]string{"A=b"}, false, []string{"A=b"}},
	} {
		s := &specs.Spec{Process: &specs.Process{Args: []string{"main"}, Env: c.env}}
		p := ExecProcess(s, []string{"x"}, c.tty)
		if !slices.Equal(p.Env, c.want) || p.Terminal != c.tty || !slices.Equal(p.Args, []string{"x"}) {
			t.Errorf("with %v: %v, want %v", c.env, p, c.want)
		}
		if s.Process.Args[0] != "main" || len(s.Process.Env) != len(c.env) {
			t.Errorf("the container's process became %v", s.Process)
		}
	}
}

// FuzzExecProcess: no specification that is in a record keeps a command from being made of it.
func FuzzExecProcess(f *testing.F) {
	f.Add([]byte(`{}`), "sh", true)
	f.Add([]byte(`{"process":{"env":["TERM"],"user":{"uid":1},"args":["a"]},"linux":{}}`), "", false)
	f.Add([]byte(`{"process":null,"mounts":[{"destination":"/"}]}`), "x", true)
	f.Fuzz(func(t *testing.T, raw []byte, arg string, tty bool) {
		var s specs.Spec
		if json.Unmarshal(raw, &s) != nil {
			return
		}
		p := ExecProcess(&s, []string{arg}, tty)
		if p.Terminal != tty || len(p.Args) != 1 || p.Args[0] != arg || p.CommandLine != "" {
			t.Errorf("%s became %v", raw, p)
		}
		if _, err := json.Marshal(p); err != nil {
			t.Error(err)
		}
	})
}
