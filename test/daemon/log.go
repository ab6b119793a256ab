package daemon

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tailLines is how much of a log is shown.
const tailLines = 200

func (d *Daemon) logFile() string { return filepath.Join(d.Dir, "berthd.log") }

// Log is the end of what berthd and an external containerd have logged.
func (d *Daemon) Log() string {
	var out strings.Builder
	for _, name := range []string{"berthd.log", "containerd.log"} {
		content, err := os.ReadFile(filepath.Join(d.Dir, name))
		if err != nil {
			continue
		}
		lines := bytes.SplitAfter(content, []byte("\n"))
		fmt.Fprintf(&out, "---- end of %s ----\n", name)
		out.Write(bytes.Join(lines[max(0, len(lines)-tailLines):], nil))
	}
	return out.String()
}

// ShowLog logs what the daemon has logged since ShowLog was last called, up to a bound.
func (d *Daemon) ShowLog(t testing.TB) {
	t.Helper()
	content, err := os.ReadFile(d.logFile())
	if err != nil {
		t.Log(err)
		return
	}
	fresh := content[min(d.logSeen, int64(len(content))):]
	d.logSeen = int64(len(content))
	lines := bytes.SplitAfter(fresh, []byte("\n"))
	t.Logf("berthd's log:\n%s", bytes.Join(lines[max(0, len(lines)-tailLines):], nil))
}

// MarkLog makes ShowLog begin here.
func (d *Daemon) MarkLog() {
	if info, err := os.Stat(d.logFile()); err == nil {
		d.logSeen = info.Size()
	}
}
