package daemon

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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
		fmt.Fprintf(&out, "---- end of %s ----\n%s", name, tail(content))
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
	t.Logf("berthd's log:\n%s", tail(fresh))
}

// MarkLog makes ShowLog begin here.
func (d *Daemon) MarkLog() {
	if info, err := os.Stat(d.logFile()); err == nil {
		d.logSeen = info.Size()
	}
}

// tail is the end of a log without what is the same at every start.
func tail(log []byte) []byte {
	lines := slices.DeleteFunc(bytes.SplitAfter(log, []byte("\n")), func(line []byte) bool {
		return bytes.Contains(line, []byte("loading plugin"))
	})
	return bytes.Join(lines[max(0, len(lines)-tailLines):], nil)
}
