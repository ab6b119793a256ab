package ocispec

import (
	"fmt"
	"strings"

	"github.com/moby/sys/signal"
	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// defaultStopSignal is what asks a process to end when nobody says otherwise.
const defaultStopSignal = "SIGTERM"

// Real-time signals as glibc numbers them: it keeps the kernel's first two for itself.
const (
	firstRealTime, lastRealTime = 34, 64
	// From here on the CRI counts down from SIGRTMAX.
	nearLast = 50
)

// ParseSignal reads a signal in any spelling that an image or a record may have: "SIGTERM", "term",
// "15", "RTMIN+3". ok is false for what no process can be sent: a name that Linux does not know, a number
// outside 1 to 64.
func ParseSignal(text string) (sig unix.Signal, ok bool) {
	sig, err := signal.ParseSignal(strings.TrimSpace(text))
	if err != nil || sig < 1 || sig > lastRealTime {
		return 0, false
	}
	return sig, true
}

// CanonicalSignal is the one name of a signal that status reports: the kernel's, "SIGRTMIN+3" or
// "SIGRTMAX-3" for real-time ones. The two numbers that have no name stay numbers.
func CanonicalSignal(sig unix.Signal) string {
	switch {
	case sig == firstRealTime:
		return "SIGRTMIN"
	case sig == lastRealTime:
		return "SIGRTMAX"
	case sig > firstRealTime && sig < nearLast:
		return fmt.Sprintf("SIGRTMIN+%d", sig-firstRealTime)
	case sig >= nearLast && sig < lastRealTime:
		return fmt.Sprintf("SIGRTMAX-%d", lastRealTime-sig)
	}
	if name := unix.SignalName(sig); name != "" {
		return name
	}
	return fmt.Sprint(int(sig))
}

// CRISignal is the CRI's constant for a signal in any spelling; SIGTERM's for what is none, since
// that is what is sent then. SIGNAL_RUNTIME_DEFAULT for the two that have no name.
func CRISignal(text string) runtimeapi.Signal {
	sig, ok := ParseSignal(text)
	if !ok {
		sig = unix.SIGTERM
	}
	name := strings.NewReplacer("+", "PLUS", "-", "MINUS").Replace(CanonicalSignal(sig))
	return runtimeapi.Signal(runtimeapi.Signal_value["SIGNAL_"+name])
}

// stopSignal is the request's (KEP-4960), the image's, or SIGTERM.
func (b *builder) stopSignal() {
	if s := b.in.Config.GetStopSignal(); s != runtimeapi.Signal_SIGNAL_RUNTIME_DEFAULT {
		b.out.StopSignal = SignalName(s)
		return
	}
	b.out.StopSignal = defaultStopSignal
	image := b.in.Image.Config.StopSignal
	if image == "" {
		return
	}
	sig, ok := ParseSignal(image)
	if !ok {
		b.warn("The stop signal %q of image %q is ignored, there is no such signal: SIGTERM is sent.", image, b.in.Image.Name)
		return
	}
	b.out.StopSignal = CanonicalSignal(sig)
}

// SignalName is the kernel's name of a CRI signal, e.g. "SIGRTMIN+3", that
// moby/sys/signal parses. SIGNAL_RUNTIME_DEFAULT gives SIGTERM.
func SignalName(s runtimeapi.Signal) string {
	if s == runtimeapi.Signal_SIGNAL_RUNTIME_DEFAULT {
		return defaultStopSignal
	}
	name := strings.TrimPrefix(s.String(), "SIGNAL_")
	name = strings.Replace(name, "PLUS", "+", 1)
	return strings.Replace(name, "MINUS", "-", 1)
}
