package cni

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// watched is a running manager whose rescan never comes, so that only events can help.
func watched(t *testing.T) (*host, *Manager) {
	h := newHost(t)
	h.opts.StatusInterval = time.Hour
	return h, h.run()
}

func simpleConf(name string) string {
	return fmt.Sprintf(`{"cniVersion":"1.0.0","name":%q,"plugins":[{"type":"loopback"}]}`, name)
}

func awaitNetwork(t *testing.T, m *Manager, name string) Status {
	t.Helper()
	return awaitStatus(t, m, "network "+name, func(s Status) bool { return s.Ready && s.NetworkName == name })
}

func TestWatch(t *testing.T) {
	h, m := watched(t)
	awaitNetwork(t, m, "berth") // /etc does not exist

	h.conf("20.conflist", simpleConf("twenty")) // makes etc, cni, net.d and the file
	awaitNetwork(t, m, "twenty")
	h.conf("10.conflist", simpleConf("ten"))
	awaitNetwork(t, m, "ten")
	h.conf("10.conflist", simpleConf("ten-again"))
	awaitNetwork(t, m, "ten-again")

	if err := os.Remove(filepath.Join(h.confDir, "10.conflist")); err != nil {
		t.Fatal(err)
	}
	awaitNetwork(t, m, "twenty")

	// written in two steps, not renamed into place
	f, err := os.Create(filepath.Join(h.confDir, "05.conflist"))
	if err != nil {
		t.Fatal(err)
	}
	half := simpleConf("five")
	fmt.Fprint(f, half[:20])
	awaitStatus(t, m, "the half file to be named", func(s Status) bool {
		return s.NetworkName == "twenty" && len(s.Skipped) == 1 && strings.Contains(s.Message, "05.conflist")
	})
	fmt.Fprint(f, half[20:])
	f.Close()
	awaitNetwork(t, m, "five")

	// the directory goes away
	if err := os.RemoveAll(filepath.Dir(h.confDir)); err != nil {
		t.Fatal(err)
	}
	awaitNetwork(t, m, "berth")
	h.conf("30.conflist", simpleConf("thirty"))
	awaitNetwork(t, m, "thirty")
}

func TestWatchReplacedDirectory(t *testing.T) {
	h, m := watched(t)
	h.conf("10.conflist", simpleConf("first"))
	awaitNetwork(t, m, "first")

	// replaced by a rename
	other := h.confDir + ".new"
	if err := os.MkdirAll(other, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(other, "10.conflist"), []byte(simpleConf("renamed")), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(h.confDir, h.confDir+".old"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(other, h.confDir); err != nil {
		t.Fatal(err)
	}
	awaitNetwork(t, m, "renamed")
	h.conf("10.conflist", simpleConf("inside")) // the new inode is watched
	awaitNetwork(t, m, "inside")

	// replaced by a symlink, whose target then changes
	real := filepath.Join(h.dir, "elsewhere", "conf")
	if err := os.MkdirAll(real, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(real, "10.conflist"), []byte(simpleConf("linked")), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(h.confDir); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(real, h.confDir); err != nil {
		t.Fatal(err)
	}
	awaitNetwork(t, m, "linked")
	h.conf("10.conflist", simpleConf("through"))
	awaitNetwork(t, m, "through")
	if err := os.Rename(real, real+".old"); err != nil {
		t.Fatal(err)
	}
	awaitNetwork(t, m, "berth") // dangling
	if err := os.Rename(real+".old", real); err != nil {
		t.Fatal(err)
	}
	awaitNetwork(t, m, "through")
}

// Whatever is not seen as an event is found by the rescan.
func TestRescan(t *testing.T) {
	h := newHost(t)
	h.opts.StatusInterval = 50 * time.Millisecond
	h.opts.Default.Enabled = false
	m := h.run()
	awaitStatus(t, m, "no configuration", func(s Status) bool { return s.Reason == ReasonConfigMissing })
	h.conf("10.conflist", `{"cniVersion":"1.1.0","name":"side","plugins":[{"type":"loopback"}]}`)
	awaitNetwork(t, m, "side")
	// a plugin that another package adds, in a directory that is not watched
	side := filepath.Join(h.confDir, "side")
	if err := os.MkdirAll(side, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(side, "10-late.conf"), []byte(`{"type":"late"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	s := awaitStatus(t, m, "the missing plugin to be named", func(s Status) bool { return s.Reason == ReasonPluginMissing })
	if !strings.Contains(s.Message, `"late"`) || !strings.Contains(s.Message, h.opts.BinDirs[0]) || !strings.Contains(s.Message, "10.conflist") {
		t.Errorf("message %q", s.Message)
	}
	h.fake("late", "exit 0")
	awaitNetwork(t, m, "side")
}

func TestStatusOfBrokenDirectories(t *testing.T) {
	h := newHost(t)
	h.conf("10.conflist", `{"name":"x"`)
	h.conf("20.conf", `{"name":"x","cniVersion":"1.0.0"}`)
	h.conf("30.conflist", `{"name":"x","cniVersion":"9.0.0","plugins":[{"type":"bridge"}]}`)
	h.conf("40.conflist", `{"name":"../x","cniVersion":"1.0.0","plugins":[{"type":"bridge"}]}`)
	h.conf("50.conflist", `{"name":"x","cniVersion":"1.0.0","plugins":[{"type":"../bridge"}]}`)
	h.conf("60.conflist", `{"name":"x","cniVersion":"1.0.0","plugins":[]}`)
	h.conf("70.txt", simpleConf("ignored"))
	s := h.manager().Status()
	if s.Ready || s.Reason != ReasonConfigInvalid || len(s.Skipped) != 6 {
		t.Errorf("status %+v", s)
	}
	for _, file := range []string{"10.conflist", "20.conf", "30.conflist", "40.conflist", "50.conflist", "60.conflist"} {
		if !strings.Contains(s.Message, file) {
			t.Errorf("message does not name %s: %s", file, s.Message)
		}
	}
	if err := os.RemoveAll(h.confDir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(h.confDir, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if s := h.manager().Status(); s.Ready || s.Reason != ReasonConfigInvalid {
		t.Errorf("a file in the directory's place: %+v", s)
	}
}

// The STATUS verb of CNI 1.1 decides, asked in the background.
func TestStatusVerb(t *testing.T) {
	h := newHost(t)
	h.opts.StatusInterval = 50 * time.Millisecond
	h.opts.Timeouts.Status = 500 * time.Millisecond
	h.conf("10.conflist", `{"cniVersion":"1.1.0","name":"modern","plugins":[{"type":"modern"}]}`)
	h.fake("modern", `echo '{"code":50,"msg":"controller is down"}'; exit 1`)
	if s := h.manager().Status(); s.Ready || s.Reason != ReasonStatusPending {
		t.Errorf("before Run: %+v", s)
	}
	m := h.run()
	awaitStatus(t, m, "the plugin's message", func(s Status) bool {
		return s.Reason == ReasonPluginNotReady && strings.Contains(s.Message, "controller is down")
	})
	h.fake("modern", `exit 0`)
	awaitNetwork(t, m, "modern")
	h.fake("modern", `sleep 1000`)
	begin := time.Now()
	awaitStatus(t, m, "the hang to be seen", func(s Status) bool {
		return s.Reason == ReasonPluginNotReady && strings.Contains(s.Message, "was killed")
	})
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	h.fake("modern", `echo '{"code":4,"msg":"unknown CNI_COMMAND: STATUS"}'; exit 1`)
	awaitNetwork(t, m, "modern")
}
