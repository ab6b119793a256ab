package hostinfo

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/errdefs"
)

// script is a runtime that does what the shell script says.
func script(t *testing.T, body string) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), "runtime")
	if err := os.WriteFile(p, []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return p
}

const rich = `{"mountOptions":["ro","rro"],"linux":{"namespaces":["user"],"seccomp":{"enabled":true},"apparmor":{"enabled":true},"mountExtensions":{"idmap":{"enabled":true}}}}`

func TestQueryRuntime(t *testing.T) {
	able := &Info{RecursiveReadOnly: true, IDMapSyscall: true, UserNamespaces: true}
	for name, c := range map[string]struct {
		body string
		host *Info
		want RuntimeFeatures
	}{
		"rich":                  {"test $1 = features && echo '" + rich + "'", able, RuntimeFeatures{Known: true, RecursiveReadOnly: true, UserNamespaces: true, Seccomp: true, AppArmor: true}},
		"rich on an old kernel": {"echo '" + rich + "'", &Info{}, RuntimeFeatures{Known: true, Seccomp: true, AppArmor: true}},
		"poor":                  {"echo '{}'", able, RuntimeFeatures{Known: true}},
		"no idmap":              {`echo '{"linux":{"namespaces":["user"]}}'`, able, RuntimeFeatures{Known: true}},
		"old":                   {"echo no such command; exit 1", able, RuntimeFeatures{}},
		"nonsense":              {"echo hello", able, RuntimeFeatures{}},
	} {
		got, err := QueryRuntime(t.Context(), script(t, c.body), c.host)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got.Known != (got.Raw != nil) {
			t.Errorf("%s: known %v without an answer", name, got.Known)
		}
		got.Raw, got.MountOptions = nil, nil
		if got.Known != c.want.Known || got.RecursiveReadOnly != c.want.RecursiveReadOnly || got.UserNamespaces != c.want.UserNamespaces ||
			got.Seccomp != c.want.Seccomp || got.AppArmor != c.want.AppArmor || got.SELinux != c.want.SELinux {
			t.Errorf("%s: got %+v", name, got)
		}
	}
	if _, err := QueryRuntime(t.Context(), "/no/such/runtime", able); !errdefs.IsNotFound(err) {
		t.Errorf("missing: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := QueryRuntime(ctx, script(t, "sleep 60"), able); !errdefs.IsCanceled(err) {
		t.Errorf("cancelled: %v", err)
	}
}
