package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const events = `{"Action":"run","Package":"github.com/berth-run/berth/a","Test":"TestOne"}
{"Action":"pass","Package":"github.com/berth-run/berth/a","Test":"TestOne","Elapsed":1}
{"Action":"output","Package":"github.com/berth-run/berth/a","Test":"TestTwo","Output":"    a_test.go:9: needs root\n"}
{"Action":"skip","Package":"github.com/berth-run/berth/a","Test":"TestTwo","Elapsed":0}
{"Action":"pass","Package":"github.com/berth-run/berth/a","Elapsed":1}
`

func TestReport(t *testing.T) {
	const (
		failing  = `{"Action":"fail","Package":"github.com/berth-run/berth/a","Test":"TestThree"}` + "\n"
		panicked = `{"Action":"output","Package":"github.com/berth-run/berth/b","Output":"panic: boom\n"}` + "\n" +
			`{"Action":"fail","Package":"github.com/berth-run/berth/b"}` + "\n"
	)
	for name, test := range map[string]struct {
		events, skips string
		good          bool
		want          string
	}{
		"expected skip":   {events, "a TestTwo: no root here", true, "  needs root\n      a TestTwo\n"},
		"unexpected skip": {events, "a TestTw: prefix only", false, "NOT EXPECTED: needs root"},
		"failed test":     {events + failing, "a .*: fine", false, "  a TestThree\n"},
		"panic":           {events + panicked, "a .*: fine", false, "panic: boom"},
		"not an event":    {"go: cannot find module\n" + events, "a .*: fine", true, "go: cannot find module"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "skips.txt")
			if err := os.WriteFile(path, []byte("# comment\n\n"+test.skips+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			expected, err := loadExpectations(path)
			if err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			run := newRun(&out)
			if err := run.read(strings.NewReader(test.events)); err != nil {
				t.Fatal(err)
			}
			if good := run.report(expected); good != test.good {
				t.Errorf("good = %v, want %v", good, test.good)
			}
			if !strings.Contains(out.String(), test.want) {
				t.Errorf("%q missing in\n%s", test.want, out.String())
			}
		})
	}
}

func TestExpectationWithoutReasonIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "skips.txt")
	if err := os.WriteFile(path, []byte("a TestTwo:\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := loadExpectations(path); err == nil || !strings.Contains(err.Error(), "skips.txt:1:") {
		t.Errorf("err = %v, want one that names the line", err)
	}
}
