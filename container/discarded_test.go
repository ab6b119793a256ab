package container

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestDiscards(t *testing.T) {
	for name, c := range map[string]struct {
		status string
		want   bool
	}{
		"process 1 without a handler":         {"NSpid:\t812\t1\nSigBlk:\t0\nSigIgn:\t0\nSigCgt:\t0000000000000002\n", true},
		"process 1 with a handler":            {"NSpid:\t812\t1\nSigBlk:\t0\nSigIgn:\t0\nSigCgt:\t0000000000004000\n", false},
		"process 1 that blocks it":            {"NSpid:\t812\t1\nSigBlk:\t4000\nSigIgn:\t0\nSigCgt:\t0\n", false},
		"process 1 that ignores it":           {"NSpid:\t812\t1\nSigBlk:\t0\nSigIgn:\t4000\nSigCgt:\t0\n", true},
		"another process":                     {"NSpid:\t812\t7\nSigBlk:\t0\nSigIgn:\t0\nSigCgt:\t0\n", false},
		"another process that ignores it":     {"NSpid:\t812\t7\nSigBlk:\t0\nSigIgn:\t4000\nSigCgt:\t0\n", true},
		"in the host's namespace":             {"NSpid:\t812\nSigBlk:\t0\nSigIgn:\t0\nSigCgt:\t0\n", false},
		"process 1 of a namespace in another": {"NSpid:\t812\t5\t1\nSigBlk:\t0\nSigIgn:\t0\nSigCgt:\t0\n", true},
		"nothing known":                       {"", false},
	} {
		if got := parseDisposition([]byte("Name:\tx\n"+c.status), unix.SIGTERM).discards; got != c.want {
			t.Errorf("%s: %t, want %t\n%s", name, got, c.want, strings.TrimSpace(c.status))
		}
	}
	if !parseDisposition([]byte("Name:\trunc:[2:INIT]\n"), unix.SIGTERM).runtime {
		t.Error("runc's init is taken for the container's program")
	}
}
