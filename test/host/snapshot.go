package host

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Scope says what belongs to the runtime whose traces are looked for.
type Scope struct {
	// Dir holds all its directories: mounts and processes that refer to it are its own.
	Dir string
	// Files are trees below which every file counts.
	Files []string
	// SkipFiles are parts of them that do not.
	SkipFiles []string
	// Bridges are its bridges, Subnets the addresses of its pods. With KeepBridges the
	// bridges themselves do not count, only what is attached to them.
	Bridges     []string
	KeepBridges bool
	Subnets     []netip.Prefix
	// Cgroups are the parents of its cgroups, such as "/berth".
	Cgroups []string
	// Containerd is the socket of its containerd; empty while that does not run.
	Containerd string
	// PID is its daemon's, 0 while that does not run; Debug is the socket of its pprof
	// endpoint. Both are for the daemon's own file descriptors and goroutines.
	PID   int
	Debug string
	// Refresh, when not nil, makes the daemon look again at what it keeps an eye on, so
	// that it lets go of what is not there any more.
	Refresh func(context.Context)
}

// Snapshot is what there is: things by kind and name ("mount /run/berth/…") and how
// often. A new snapshot has the same things or more.
type Snapshot map[string]int

// add counts a thing.
func (s Snapshot) add(kind, format string, args ...any) {
	s[kind+" "+fmt.Sprintf(format, args...)]++
}

// Take takes stock.
func Take(ctx context.Context, scope Scope) (Snapshot, error) {
	s := Snapshot{}
	if scope.Refresh != nil {
		scope.Refresh(ctx)
	}
	var errs []error
	for _, look := range []func(context.Context, Scope, Snapshot) error{
		mounts, links, rules, cgroups, processes, files, objects, descriptors, goroutines,
	} {
		errs = append(errs, look(ctx, scope, s))
	}
	return s, errors.Join(errs...)
}

// Since lists what there is more of than before.
func (s Snapshot) Since(before Snapshot) []string {
	var left []string
	for _, thing := range slices.Sorted(maps.Keys(s)) {
		switch more := s[thing] - before[thing]; {
		case more == 1 && before[thing] == 0:
			left = append(left, thing)
		case more > 0:
			left = append(left, fmt.Sprintf("%s (%d, were %d)", thing, s[thing], before[thing]))
		}
	}
	return left
}

// settle is how long the kernel and the daemon may take to tidy up, and pause how often
// that is looked for.
const (
	settle = 15 * time.Second
	pause  = 50 * time.Millisecond
)

// Leftover is an error that lists what was left behind.
type Leftover struct{ Things []string }

// Error implements error.
func (l *Leftover) Error() string {
	return fmt.Sprintf("%d things are left over on the host:\n  %s", len(l.Things), strings.Join(l.Things, "\n  "))
}

// AwaitClean returns nil as soon as everything that was not there before has been seen
// gone, and a *Leftover when that does not come to pass. Much of the tidying is done in
// the background, by the kernel too, so it looks again for a while.
func AwaitClean(ctx context.Context, scope Scope, before Snapshot) error {
	deadline := time.Now().Add(settle)
	var left Snapshot // what was there at every look
	for {
		now, err := Take(ctx, scope)
		if err != nil {
			return err
		}
		if left == nil {
			left = now
		}
		left = left.common(now)
		things := left.Since(before)
		if len(things) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return &Leftover{things}
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return &Leftover{things}
		}
	}
}

// common is what both have.
func (s Snapshot) common(other Snapshot) Snapshot {
	both := Snapshot{}
	for thing, n := range s {
		if n = min(n, other[thing]); n > 0 {
			both[thing] = n
		}
	}
	return both
}
