package failpoint

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Kind is what happens at an armed point.
type Kind string

// The kinds of actions.
const (
	// Kill ends the daemon with SIGKILL.
	Kill Kind = "kill"
	// Error makes the step fail with an [*InjectedError].
	Error Kind = "error"
	// Hang waits until the point is released, disarmed or the operation's context ends.
	Hang Kind = "hang"
	// Delay waits for a duration, and goes on.
	Delay Kind = "delay"
)

// Action is what happens at a point, and how often.
type Action struct {
	Kind Kind
	// Delay is how long a Delay takes.
	Delay time.Duration
	// Times is after how many hits the point disarms itself; 0 means never.
	Times int
}

// ParseAction reads "kill", "error", "hang" or "delay(DURATION)", with "*N" behind it
// to have it N times, "*0" for always. Without it, the action happens once.
func ParseAction(text string) (Action, error) {
	a := Action{Times: 1}
	what, times, counted := strings.Cut(text, "*")
	if counted {
		n, err := strconv.Atoi(times)
		if err != nil || n < 0 {
			return a, fmt.Errorf("action %q: %q is no number of times: %w", text, times, errdefs.ErrInvalidArgument)
		}
		a.Times = n
	}
	if d, ok := strings.CutPrefix(what, string(Delay)+"("); ok {
		d, err := time.ParseDuration(strings.TrimSuffix(d, ")"))
		if err != nil {
			return a, fmt.Errorf("action %q: %w: %w", text, err, errdefs.ErrInvalidArgument)
		}
		a.Kind, a.Delay = Delay, d
		return a, nil
	}
	switch a.Kind = Kind(what); a.Kind {
	case Kill, Error, Hang:
		return a, nil
	}
	return a, fmt.Errorf("action %q: there are kill, error, hang and delay(DURATION): %w", text, errdefs.ErrInvalidArgument)
}

// String is the form that ParseAction reads.
func (a Action) String() string {
	s := string(a.Kind)
	if a.Kind == Delay {
		s += "(" + a.Delay.String() + ")"
	}
	if a.Times != 1 {
		s += "*" + strconv.Itoa(a.Times)
	}
	return s
}

// InjectedError is what a point armed with Error returns. Its class is
// errdefs.ErrInternal.
type InjectedError struct {
	// Point that was hit.
	Point string
}

// Error implements error.
func (e *InjectedError) Error() string { return "failpoint " + e.Point }

// Unwrap gives the class.
func (e *InjectedError) Unwrap() error { return errdefs.ErrInternal }

// armed is a point with an action that waits for the point to be hit.
type armed struct {
	point   string
	action  Action
	left    int           // guarded by Set.mu
	hits    int           // guarded by Set.mu
	hit     chan struct{} // closed by the first hit
	release chan struct{} // closed to end a Hang
}

func (t *armed) act(ctx context.Context) error {
	switch t.action.Kind {
	case Kill:
		_ = unix.Kill(unix.Getpid(), unix.SIGKILL)
		select {} // nothing happens after the kill, not even on another CPU
	case Error:
		return &InjectedError{Point: t.point}
	case Hang:
		select {
		case <-t.release:
		case <-ctx.Done():
			return fmt.Errorf("failpoint %s: %w", t.point, ctx.Err())
		}
	case Delay:
		timer := time.NewTimer(t.action.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-t.release:
		case <-ctx.Done():
			return fmt.Errorf("failpoint %s: %w", t.point, ctx.Err())
		}
	}
	return nil
}
