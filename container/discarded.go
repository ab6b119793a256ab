package container

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"
)

// Process 1 of a PID namespace gets no signal that it has no handler for: the kernel discards it, unless the signal
// is blocked. A stop that comes a few milliseconds after the start, before the program has installed its
// handlers, would be lost, and the container would be killed after its whole grace.

// Pauses before the process is looked at again after its stop signal was sent.
const (
	firstLook = 10 * time.Millisecond
	lastLook  = 250 * time.Millisecond
	// looks is how often a process that had a handler is looked at again: a new program may have taken its
	// place (execve) in the moment of the signal, and its handlers are gone with the old one.
	looks = 6
)

// runcInit is what the name of a process begins with that is still runc, about to become the container's program.
const runcInit = "runc:["

// asking is the sending of a stop signal until the process takes it.
type asking struct {
	sig unix.Signal
	// sent is set once the signal was sent, whether the process took it or not.
	sent bool
	// taken counts the looks since it was sent to a process that had a handler.
	taken int
	pause time.Duration
}

// again sends the signal, unless it was sent already and would be discarded once more. It returns how long
// to wait before the next call, 0 when the process has the signal for certain.
func (a *asking) again(ctx context.Context, m *Manager, c *Container) time.Duration {
	a.pause = min(max(2*a.pause, firstLook), lastLook)
	// Looked at before the signal is sent: a handler that is installed in between may get the signal twice, but
	// one that is there gets it.
	var now disposition
	if !c.Pod.Handler.Foreign {
		now = dispositionOf(int(c.PID()), a.sig)
	}
	switch {
	case now.runtime:
		return a.pause
	case now.discards && a.sent:
		a.taken = 0
		return a.pause
	case a.taken > 0:
		if a.taken++; a.taken > looks {
			return 0
		}
		return a.pause
	}
	if err := m.signal(ctx, c, a.sig); err != nil {
		klog.FromContext(ctx).Error(err, "Cannot send the stop signal; trying again", "id", c.ID, "signal", unix.SignalName(a.sig))
		return signalRetry
	}
	a.sent = true
	if !now.discards {
		a.taken = 1
	}
	return a.pause
}

// disposition is what becomes of a signal to a process.
type disposition struct {
	// runtime is set while the process is still the OCI runtime's.
	runtime bool
	// discards is set if the kernel would discard the signal rather than give it to the process or end it.
	discards bool
}

func dispositionOf(pid int, sig unix.Signal) disposition {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return disposition{}
	}
	return parseDisposition(status, sig)
}

// parseDisposition reads it from the process's status (proc_pid_status(5)).
func parseDisposition(status []byte, sig unix.Signal) (d disposition) {
	var first, ignored, handled bool
	for lines := bufio.NewScanner(bytes.NewReader(status)); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), ":")
		switch key {
		case "Name":
			d.runtime = strings.HasPrefix(strings.TrimSpace(value), runcInit)
		case "NSpid":
			ids := strings.Fields(value)
			first = len(ids) > 1 && ids[len(ids)-1] == "1"
		case "SigIgn":
			ignored = inSet(value, sig)
		case "SigCgt", "SigBlk":
			handled = handled || inSet(value, sig)
		}
	}
	d.discards = !handled && (first || ignored)
	return d
}

// inSet reports whether a set of signals, as /proc shows it, has the signal.
func inSet(text string, sig unix.Signal) bool {
	set, err := strconv.ParseUint(strings.TrimSpace(text), 16, 64)
	return err == nil && sig > 0 && set&(1<<(sig-1)) != 0
}
