package cni

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWhichConfs: a pod is attached to the lexically first usable files. Those that are not usable do not count, and
// neither does one whose network an earlier file has.
func TestWhichConfs(t *testing.T) {
	dir := t.TempDir()
	for file, text := range map[string]string{
		"05.conflist": "{",
		"10.conflist": `{"cniVersion":"1.0.0","name":"a","plugins":[{"type":"bridge"}]}`,
		"15.conflist": `{"cniVersion":"1.0.0","name":"a","plugins":[{"type":"ptp"}]}`,
		"20.conf":     `{"cniVersion":"0.4.0","name":"b","type":"bridge"}`,
		"30.json":     `{"cniVersion":"1.0.0","name":"c","plugins":[{"type":"bridge"}]}`,
		"40.txt":      "{",
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for max, want := range map[int]string{1: "a; 05", 2: "a b; 05 15", 1024: "a b c; 05 15"} {
		l := loadDir(dir, max)
		var used, skipped []string
		for _, n := range l.networks {
			used = append(used, n.list.Name)
		}
		for _, s := range l.skipped {
			skipped = append(skipped, filepath.Base(s.File)[:2])
		}
		if got := fmt.Sprintf("%s; %s", strings.Join(used, " "), strings.Join(skipped, " ")); got != want || l.err != nil {
			t.Errorf("of at most %d: %s, want %s (%v)", max, got, want, l.err)
		}
		if message := names(l.networks); strings.Count(message, "network ") != len(used) {
			t.Errorf("of %v the status says %s", used, message)
		}
	}
}
