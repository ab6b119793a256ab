// Package doctor compares what Berth has on record with what is on the host, and finds,
// and removes, what does not belong.
//
// Every effect that Berth has on a host is named by the ID of the pod or container that
// it is for, and is made after the record and removed before it. So the host is looked
// at first, the records are read then, and what has no record by then and is still there
// after that belongs to nobody, also while a daemon is at work.
//
// Berth's containerd, bridge and host have other users: nerdctl, ctr, BuildKit. What carries no mark of
// Berth, and lies outside of Berth's own directories and containerd namespace, is never touched.
package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"

	containerd "github.com/containerd/containerd/v2/client"

	"github.com/berth-run/berth/config"
	"github.com/berth-run/berth/internal/cgroup"
	"github.com/berth-run/berth/internal/underway"
)

// Finding is a thing on the host that does not belong there.
type Finding struct {
	// Kind is a word for what it is: "mount", "shim", "cgroup", "veth", …
	Kind string `json:"kind"`
	// Name says which one.
	Name string `json:"name"`
	// ID is the pod or container that it was for, as far as that can be told.
	ID string `json:"id,omitempty"`
	// Hangs reports whether it is an operation of berthd that has been under way for long: nothing to be removed.
	Hangs bool `json:"hangs,omitempty"`
	// LeftAlone says why Fix does not touch it: it is where others have their things too, and nothing
	// shows that Berth made it. Empty for what Fix removes.
	LeftAlone string `json:"leftAlone,omitempty"`

	// order is when it is removed: a process before the mounts that it uses.
	order int
	fix   func(context.Context) error
}

// String is the finding in a line.
func (f Finding) String() string { return f.Kind + " " + f.Name }

// The order of removal.
const (
	orderProcess = iota
	orderNetwork
	orderObject
	orderMount
	orderCgroup
	orderFile
)

// Doctor looks at one instance of Berth.
type Doctor struct {
	Paths config.Paths
	// Cgroups of the host.
	Cgroups *cgroup.Host
	// Bridge is the bridge of the built-in network, empty where that is off.
	Bridge string
	// Records reads the IDs of all pods and containers on record.
	Records func(context.Context) (map[string]bool, error)
	// Client is a containerd that runs; without one, its snapshots and leases are not
	// looked at.
	Client *containerd.Client
	// Alone reports whether no other instance of Berth runs on this host: only then it can be
	// told whose cgroups there are.
	Alone bool
	// Hanging asks the daemon what hangs; nil where none runs.
	Hanging func(context.Context) ([]underway.Operation, error)
	// Detach makes CNI plugins forget a pod; nil leaves that to the daemon.
	Detach func(ctx context.Context, podID string) error
}

// id is how pods and containers are named; shortID is the part that names sockets.
var (
	id      = regexp.MustCompile(`[0-9a-f]{64}`)
	shortID = regexp.MustCompile(`^[0-9a-f]{32}`)
)

// survey is everything on the host that is named by an ID.
func (d *Doctor) survey(ctx context.Context) ([]Finding, error) {
	var all []Finding
	var errs []error
	for _, look := range []func(context.Context) ([]Finding, error){
		d.shims, d.mounts, d.veths, d.attachments, d.cgroups, d.files, d.snapshots, d.leases, d.namespaces,
	} {
		found, err := look(ctx)
		all, errs = append(all, found...), append(errs, err)
	}
	return all, errors.Join(errs...)
}

// Removable are the findings that Fix removes.
func Removable(found []Finding) []Finding {
	return slices.DeleteFunc(slices.Clone(found), func(f Finding) bool { return f.LeftAlone != "" || f.Hangs })
}

// Hanging are the findings that are operations which hang.
func Hanging(found []Finding) []Finding {
	return slices.DeleteFunc(slices.Clone(found), func(f Finding) bool { return !f.Hangs })
}

// Examine lists what does not belong, in the order in which it can be removed, what it leaves alone
// although it has no record (see Finding.LeftAlone), and what hangs (Finding.Hangs).
func (d *Doctor) Examine(ctx context.Context) ([]Finding, error) {
	first, err := d.survey(ctx)
	if err != nil {
		return nil, err
	}
	known, err := d.Records(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the records: %w", err)
	}
	suspects := map[string]bool{}
	for _, f := range first {
		if !belongs(f.ID, known) {
			suspects[f.String()] = true
		}
	}
	if len(suspects) == 0 {
		return d.hanging(ctx), nil
	}
	second, err := d.survey(ctx)
	if err != nil {
		return nil, err
	}
	found := slices.DeleteFunc(second, func(f Finding) bool { return !suspects[f.String()] })
	slices.SortStableFunc(found, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.order, b.order), cmp.Compare(a.Name, b.Name))
	})
	return append(found, d.hanging(ctx)...), nil
}

// hanging are the operations of the daemon that hang, and the daemon itself if it does not answer.
func (d *Doctor) hanging(ctx context.Context) (found []Finding) {
	if d.Hanging == nil {
		return nil
	}
	operations, err := d.Hanging(ctx)
	if err != nil {
		return []Finding{{Kind: "daemon", Name: err.Error(), Hangs: true}}
	}
	for _, o := range operations {
		found = append(found, Finding{Kind: "operation", Name: o.String(), ID: o.ID, Hangs: true})
	}
	return found
}

// belongs reports whether an ID, or the beginning of one, is on record.
func belongs(thing string, known map[string]bool) bool {
	if len(thing) == 64 {
		return known[thing]
	}
	for k := range known {
		if thing != "" && len(k) > len(thing) && k[:len(thing)] == thing {
			return true
		}
	}
	return false
}

// Fix removes one thing.
func (d *Doctor) Fix(ctx context.Context, f Finding) error {
	if f.fix == nil || f.LeftAlone != "" || f.Hangs {
		return fmt.Errorf("%s: cannot be removed from here", f)
	}
	if err := f.fix(ctx); err != nil {
		return fmt.Errorf("%s: %w", f, err)
	}
	return nil
}
