package spec

import (
	"strings"

	"github.com/moby/sys/signal"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// defaultStopSignal is what asks a process to end when nobody says otherwise.
const defaultStopSignal = "SIGTERM"

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
	if _, err := signal.ParseSignal(image); err != nil {
		b.warn("Image %q has the unknown stop signal %q; SIGTERM is used.", b.in.Image.Name, image)
		return
	}
	b.out.StopSignal = image
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
