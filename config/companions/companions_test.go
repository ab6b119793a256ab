package companions

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

func program(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFindOrder(t *testing.T) {
	prefix := t.TempDir()
	f := &Finder{
		Executable: filepath.Join(prefix, "bin", "berthd"),
		Path:       "relative:" + filepath.Join(prefix, "elsewhere"),
	}
	inPath := program(t, filepath.Join(prefix, "elsewhere", "runc"), "")
	expect := func(want string) {
		t.Helper()
		if got, err := f.Find(Runc); err != nil || got != want {
			t.Errorf("Find = %q, %v, want %q", got, err, want)
		}
	}
	expect(inPath)
	libexec := program(t, filepath.Join(prefix, "libexec", "berth", "runc"), "")
	expect(libexec)
	beside := program(t, filepath.Join(prefix, "bin", "runc"), "")
	expect(beside)
	if err := os.Chmod(beside, 0o644); err != nil {
		t.Fatal(err)
	}
	expect(libexec) // what cannot be executed is no program
	if got, err := f.Find(libexec); err != nil || got != libexec {
		t.Errorf("Find of an absolute path = %q, %v", got, err)
	}
}

func TestFindErrors(t *testing.T) {
	prefix := t.TempDir()
	f := &Finder{Executable: filepath.Join(prefix, "bin", "berthd"), Path: "/nowhere/one:/nowhere/two"}
	_, err := f.Find(Shim)
	if !errors.Is(err, errdefs.ErrNotFound) {
		t.Fatalf("Find = %v, want ErrNotFound", err)
	}
	for _, place := range []string{prefix + "/bin", prefix + "/libexec/berth", "/nowhere/one", "/nowhere/two"} {
		if !strings.Contains(err.Error(), place) {
			t.Errorf("%q does not name %s", err, place)
		}
	}
	if _, err := f.Find("/nowhere/runc"); !errors.Is(err, errdefs.ErrNotFound) {
		t.Errorf("missing absolute path: %v", err)
	}
	for _, name := range []string{"", "a/b", "../runc"} {
		if _, err := f.Find(name); !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Errorf("Find(%q): %v", name, err)
		}
	}
}

func TestCNIDirs(t *testing.T) {
	prefix := t.TempDir()
	f := &Finder{Executable: filepath.Join(prefix, "bin", "berthd")}
	if got := f.CNIDirs(); len(got) != 1 || got[0] != systemCNIDir {
		t.Errorf("CNIDirs without shipped plugins = %q", got)
	}
	bridge := program(t, filepath.Join(prefix, "bin", "cni", "bridge"), "")
	got := f.CNIDirs()
	if len(got) != 2 || got[0] != filepath.Dir(bridge) {
		t.Fatalf("CNIDirs = %q", got)
	}
	if p, err := FindPlugin("bridge", got); err != nil || p != bridge {
		t.Errorf("FindPlugin = %q, %v", p, err)
	}
	if _, err := FindPlugin("absent", got); !errors.Is(err, errdefs.ErrNotFound) || !strings.Contains(err.Error(), got[0]) {
		t.Errorf("FindPlugin of an absent one: %v", err)
	}
}

func TestVersions(t *testing.T) {
	prefix := t.TempDir()
	bin := filepath.Join(prefix, "bin")
	program(t, filepath.Join(bin, "runc"), "#!/bin/sh\necho 'runc version 9.8.7'\necho 'spec: 1.2'\n")
	program(t, filepath.Join(bin, Shim), "not a Go program")
	f := &Finder{Executable: filepath.Join(bin, "berthd")}
	got := make(map[string]Version)
	for _, v := range f.Versions(t.Context(), []string{filepath.Join(bin, "cni")}) {
		got[v.Name] = v
	}
	if v := got[Runc]; v.Version != "9.8.7" || v.Missing != "" || v.Path != filepath.Join(bin, "runc") {
		t.Errorf("runc: %+v", v)
	}
	for _, name := range []string{Shim, Init, "CNI plugins"} {
		if v := got[name]; v.Missing == "" || v.Version != "" {
			t.Errorf("%s: %+v, want it missing with a reason", name, v)
		}
	}
}

func TestOwn(t *testing.T) {
	own := Own("v1.2.3")
	if own[0].Version != "v1.2.3" {
		t.Errorf("berthd: %+v", own[0])
	}
	if last := own[len(own)-1]; "go"+last.Version != runtime.Version() {
		t.Errorf("Go: %+v", last)
	}
}

func TestContainerdThatDoesNotAnswer(t *testing.T) {
	v := Containerd(t.Context(), filepath.Join(t.TempDir(), "none.sock"))
	if v.Version != "" || v.Missing == "" {
		t.Errorf("%+v, want it missing", v)
	}
}
