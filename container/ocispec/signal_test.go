package ocispec

import (
	"strings"
	"testing"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// TestImageStopSignal: every spelling of a signal gets one name, and what is none gets SIGTERM and a note.
func TestImageStopSignal(t *testing.T) {
	for text, want := range map[string]string{
		"": "SIGTERM", "SIGTERM": "SIGTERM", "term": "SIGTERM", "15": "SIGTERM", " 2 ": "SIGINT", "WINCH": "SIGWINCH",
		"SIGRTMIN+3": "SIGRTMIN+3", "37": "SIGRTMIN+3", "rtmin+3": "SIGRTMIN+3", "34": "SIGRTMIN", "64": "SIGRTMAX", "RTMAX-2": "SIGRTMAX-2",
		"-1": "", "0": "", "65": "", "SIGFOO": "", "SIG": "", "SIGRTMIN+99": "", "9999999999999999999": "",
	} {
		in := input()
		in.Image.Config.StopSignal = text
		out := build(t, in)
		ignored := strings.Contains(strings.Join(out.Warnings, ""), "stop signal")
		if want == "" {
			want = "SIGTERM"
			if !ignored {
				t.Errorf("%q: no note", text)
			}
		} else if ignored {
			t.Errorf("%q: %v", text, out.Warnings)
		}
		if out.StopSignal != want {
			t.Errorf("%q: %s, want %s", text, out.StopSignal, want)
		}
		if got := SignalName(CRISignal(text)); got != want {
			t.Errorf("%q in status: %s, want %s", text, got, want)
		}
	}
}

// TestEverySignalHasItsName: each of the CRI's signals is reported as itself, however the kernel's number
// of it is written.
func TestEverySignalHasItsName(t *testing.T) {
	for n := range runtimeapi.Signal_name {
		s := runtimeapi.Signal(n)
		if s == runtimeapi.Signal_SIGNAL_RUNTIME_DEFAULT {
			continue
		}
		sig, ok := ParseSignal(SignalName(s))
		if !ok {
			t.Errorf("%s is no signal", s)
			continue
		}
		if again, ok := ParseSignal(CanonicalSignal(sig)); !ok || again != sig {
			t.Errorf("%s (%d) is named %s, which is %d", s, sig, CanonicalSignal(sig), again)
		}
		if got := CRISignal(SignalName(s)); got == 0 {
			t.Errorf("%s is not reported", s)
		}
	}
}
