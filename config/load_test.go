package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
)

// write makes files below a temporary directory from name and text, and
// replaces $D in an error expectation by it.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func load(t *testing.T, text string, o Overrides) (*Config, error) {
	t.Helper()
	dir := write(t, map[string]string{"c.toml": text})
	c, err := Load(LoadOptions{File: filepath.Join(dir, "c.toml"), Overrides: o})
	if err != nil {
		err = errors.New(strings.ReplaceAll(err.Error(), dir+"/", ""))
	}
	return c, err
}

func TestPrecedence(t *testing.T) {
	dir := write(t, map[string]string{
		"c.toml":                  "[log]\nlevel = 'warn'\nformat = 'json'\n[cni]\nadd_timeout = '7s'\nbin_dirs = ['/a', '/b']\n",
		"c.toml.d/10-first.toml":  "[log]\nlevel = 'debug'\n[cni]\nadd_timeout = '8s'\n",
		"c.toml.d/20-second.toml": "[cni]\nadd_timeout = '9s'\nbin_dirs = ['/c']\n",
		"c.toml.d/30-not.conf":    "nonsense",
	})
	level := "trace"
	c, err := Load(LoadOptions{File: filepath.Join(dir, "c.toml"), Overrides: Overrides{LogLevel: &level}})
	if err != nil {
		t.Fatal(err)
	}
	if c.Log.Level != "trace" {
		t.Errorf("log.level = %q, the flag should win", c.Log.Level)
	}
	if c.Log.Format != "json" {
		t.Errorf("log.format = %q, the file should win over the default", c.Log.Format)
	}
	if c.CNI.AddTimeout.Duration != 9*time.Second {
		t.Errorf("cni.add_timeout = %s, the last drop-in should win", c.CNI.AddTimeout)
	}
	if len(c.CNI.BinDirs) != 1 || c.CNI.BinDirs[0] != "/c" {
		t.Errorf("cni.bin_dirs = %q, a later list should replace an earlier one", c.CNI.BinDirs)
	}
	if c.CNI.DelTimeout != Default().CNI.DelTimeout {
		t.Errorf("cni.del_timeout = %s, want the default", c.CNI.DelTimeout)
	}
	for key, want := range map[string]string{
		"log.level":       "--log-level",
		"log.format":      filepath.Join(dir, "c.toml") + ":3",
		"cni.add_timeout": filepath.Join(dir, "c.toml.d/20-second.toml") + ":2",
	} {
		if o, ok := c.Origin(key); !ok || o.String() != want {
			t.Errorf("%s comes from %q, want %q", key, o, want)
		}
	}
	if o, ok := c.Origin("streaming.port"); ok {
		t.Errorf("streaming.port comes from %q, want a default", o)
	}
}

func TestNamedFileMustExist(t *testing.T) {
	_, err := Load(LoadOptions{File: "/nonexistent/c.toml"})
	if err == nil || !strings.Contains(err.Error(), "/nonexistent/c.toml") {
		t.Errorf("Load = %v, want an error that names the file", err)
	}
	if !errors.Is(err, errdefs.ErrInvalidArgument) {
		t.Errorf("%v is not ErrInvalidArgument", err)
	}
}

func TestDropInErrorNamesDropIn(t *testing.T) {
	dir := write(t, map[string]string{"c.toml": "", "c.toml.d/a.toml": "\n\n[pod]\nshm_size = 1\n"})
	_, err := Load(LoadOptions{File: filepath.Join(dir, "c.toml")})
	want := filepath.Join(dir, "c.toml.d/a.toml") + ":4: pod.shm_size: must be at least 4096, is 1"
	if err == nil || err.Error() != want {
		t.Errorf("Load = %v, want %s", err, want)
	}
}

func TestHandlers(t *testing.T) {
	c, err := load(t, `
[runtime]
default_handler = "crun"
[runtime.handlers.crun]
[runtime.handlers.kata]
shim = "io.containerd.kata.v2"
timeout = "5m"
options.config_path = "/etc/kata.toml"
[runtime.handlers]
other = { path = "/opt/runc", user_namespaces = "no" }
`, Overrides{})
	if err != nil {
		t.Fatal(err)
	}
	h := c.Runtime.Handlers
	if len(h) != 4 {
		t.Errorf("%d handlers, want runc and the three written", len(h))
	}
	if got := h["crun"]; got.Path != "crun" || got.Timeout != DefaultHandler().Timeout || got.UserNamespaces != Auto {
		t.Errorf("crun = %+v, want a handler's defaults", got)
	}
	if got := h["kata"]; got.Path != "" || got.Timeout.Duration != 5*time.Minute || got.Options.ConfigPath != "/etc/kata.toml" {
		t.Errorf("kata = %+v", got)
	}
	if got := h["other"]; got.Path != "/opt/runc" || got.UserNamespaces != No || got.CgroupDriver != CgroupAuto {
		t.Errorf("other = %+v", got)
	}
	if got := h["runc"]; got.Path != "runc" {
		t.Errorf("runc = %+v", got)
	}
}

func TestEmptyListIsNotTheDefault(t *testing.T) {
	c, err := load(t, "[cdi]\nspec_dirs = []\n", Overrides{})
	if err != nil || len(c.CDI.SpecDirs) != 0 {
		t.Errorf("cdi.spec_dirs = %q, %v, want none", c.CDI.SpecDirs, err)
	}
}
