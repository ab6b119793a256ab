package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-run/berth/config/companions"
	"github.com/berth-run/berth/engine"
)

// executable makes a file that counts as a program.
func executable(t *testing.T, dir, name string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestTyped: what the banner tells a user to type starts the program that was found, from where berthd was started.
func TestTyped(t *testing.T) {
	top := t.TempDir()
	bin, other := filepath.Join(top, "bin"), filepath.Join(top, "other")
	crictl := executable(t, bin, "crictl")
	executable(t, other, "ctr")
	for _, c := range []struct {
		what, path, name, workDir, want string
	}{
		{"a build tree, from its top", "/nowhere", "crictl", top, "bin/crictl"},
		{"a build tree, from bin", "/nowhere", "crictl", bin, "./crictl"},
		{"from somewhere else", "/nowhere", "crictl", other, crictl},
		{"from a directory that was removed", "/nowhere", "crictl", "", crictl},
		{"installed in PATH", other + ":" + bin, "crictl", top, "crictl"},
		{"not with berthd, but in PATH", other, "ctr", top, "ctr"},
		{"another one comes first in PATH", executablesDir(t, "crictl") + ":" + bin, "crictl", top, "bin/crictl"},
		{"nowhere", "/nowhere", "ctr", top, ""},
	} {
		find := &companions.Finder{Executable: filepath.Join(bin, "berthd"), Path: c.path}
		if got := typed(find, c.name, c.workDir); got != c.want {
			t.Errorf("%s: typed = %q, want %q", c.what, got, c.want)
		}
	}
}

func executablesDir(t *testing.T, name string) string {
	return filepath.Dir(executable(t, t.TempDir(), name))
}

var troubled = banner{
	version: "1.2.3", pid: 4711,
	address: "/run/b/berth.sock", containerd: "/run/b/containerd.sock",
	crictl: "bin/crictl", metrics: "http://0.0.0.0:9945/metrics", metricsOpen: "0.0.0.0:9945",
	network:     "no configuration",
	quarantined: []engine.Quarantined{{File: "meta.db", Now: "meta.db.damaged", Problem: "bad page"}},
	warnings:    []string{"The host has no swap."},
}

func TestBannerForPeople(t *testing.T) {
	var b bytes.Buffer
	troubled.print(&b)
	for _, want := range []string{
		"berthd 1.2.3 is ready, pid 4711",
		"crictl       bin/crictl --runtime-endpoint unix:///run/b/berth.sock ps -a\n",
		"containerd   /run/b/containerd.sock\n", // there is no ctr
		"network      not ready: no configuration\n",
		"DEGRADED     ", "set metrics.token_file", "The host has no swap.",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in\n%s", want, b.String())
		}
	}
	bare := troubled
	bare.crictl = ""
	b.Reset()
	if bare.print(&b); strings.Contains(b.String(), "crictl") {
		t.Errorf("names a crictl that does not exist:\n%s", b.String())
	}
}

// TestBannerAsRecords: with log.format = "json" each line is a record, and trouble has the level of trouble.
func TestBannerAsRecords(t *testing.T) {
	var b bytes.Buffer
	troubled.log(slog.New(newHandler("json", &b)))
	levels := map[string]string{}
	for line := range bytes.Lines(b.Bytes()) {
		var r struct{ Msg, Level, Address, Metrics, What string }
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("%s is no JSON: %v", line, err)
		}
		levels[r.Msg] = r.Level
		if r.Msg == "Ready" && (r.Address != troubled.address || r.Metrics != troubled.metrics) {
			t.Errorf("the record says %+v", r)
		}
	}
	for msg, want := range map[string]string{
		"Ready": "INFO", "Note": "INFO", "The network is not ready": "WARN",
		"A database was damaged and put aside; its pods were ended": "ERROR",
	} {
		if levels[msg] != want {
			t.Errorf("%q has level %q, want %q", msg, levels[msg], want)
		}
	}
}
