package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"log"
	"log/slog"
	"strings"
	"testing"

	clog "github.com/containerd/log"
	"k8s.io/klog/v2"

	"github.com/berth-run/berth/config"
)

// Everything that logs ends in one stream, with one level and one format.
func TestLoggingText(t *testing.T) {
	var b bytes.Buffer
	logs := setUpLogging(config.Log{Level: "info", Format: "text"}, &b, false)
	defer klog.ClearLogger()

	klog.InfoS("from klog", "pod", "a/b")
	klog.Background().V(2).Info("from klog at V(2)")
	klog.Background().V(4).Info("a detail")
	klog.ErrorS(errors.New("broken"), "an error")
	log.Print("from Go's log")
	slog.Info("from slog", "k", "v")
	clog.L.WithField("id", "x").Warn("from containerd")
	clog.L.Info("chatter")
	klog.Flush()
	for _, want := range []string{"from klog", `pod="a/b"`, "V(2)", "broken", "from Go's log", "from slog", "from containerd", `id="x"`} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in\n%s", want, b.String())
		}
	}
	for _, line := range strings.Split(strings.TrimSpace(b.String()), "\n") {
		if !strings.Contains(line, "logging_test.go:") {
			t.Errorf("wrong source line in %s", line)
		}
	}
	for _, unwanted := range []string{"a detail", "chatter"} {
		if strings.Contains(b.String(), unwanted) {
			t.Errorf("%q is logged at level info", unwanted)
		}
	}
	logs.setLevel("debug")
	klog.Background().V(4).Info("a detail")
	clog.L.Info("chatter")
	for _, want := range []string{"a detail", "chatter"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not logged at level debug", want)
		}
	}
}

func TestLoggingJSON(t *testing.T) {
	var b bytes.Buffer
	setUpLogging(config.Log{Level: "error", Format: "json"}, &b, false)
	defer klog.ClearLogger()
	klog.InfoS("quiet")
	clog.L.Warn("quiet")
	klog.ErrorS(errors.New("broken"), "loud", "n", 1)
	clog.L.WithError(errors.New("torn")).Error("also loud")
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines, want 2:\n%s", len(lines), b.String())
	}
	for _, line := range lines {
		var record map[string]any
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Errorf("%v in %s", err, line)
		}
		if record["level"] != "ERROR" || !strings.Contains(record["msg"].(string), "loud") {
			t.Errorf("record %v", record)
		}
	}
}

// TestComplain: what ends the process is an error for the journal, in each of its lines.
func TestComplain(t *testing.T) {
	var b bytes.Buffer
	complain(&b, true, "berthd: not valid:\nconfig.toml:3: x")
	if got := b.String(); got != "<3>berthd: not valid:\n<3>config.toml:3: x\n" {
		t.Errorf("%q", got)
	}
	b.Reset()
	if complain(&b, false, "berthd: x"); b.String() != "berthd: x\n" {
		t.Errorf("%q", b.String())
	}
}

// TestJournal: every line that the journal gets has the priority of its record.
func TestJournal(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		var b bytes.Buffer
		setUpLogging(config.Log{Level: "debug", Format: format}, &b, true)
		klog.Background().Error(errors.New("broken"), "on fire")
		klog.Background().Info("all well")
		klog.Background().V(4).Info("a detail")
		clog.L.WithField("id", "x").Warn("from containerd")
		slog.With("k", "v").WithGroup("g").Info("two\nlines")
		klog.Flush()
		klog.ClearLogger()
		for text, want := range map[string]string{
			"on fire": "<3>", "all well": "<6>", "a detail": "<7>", "from containerd": "<4>", "two": "<6>",
		} {
			for _, line := range strings.Split(strings.TrimSpace(b.String()), "\n") {
				if strings.Contains(line, text) && !strings.HasPrefix(line, want) {
					t.Errorf("%s: %q, want %s", format, line, want)
				}
				if len(line) < 3 || line[0] != '<' || line[2] != '>' {
					t.Errorf("%s: no priority before %q", format, line)
				}
			}
			if !strings.Contains(b.String(), text) {
				t.Errorf("%s: %q is missing", format, text)
			}
		}
	}
}
