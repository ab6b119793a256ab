package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/errdefs"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"
)

// EmbeddedSnapshotters returns the names of the snapshotters that are linked into this program,
// sorted. Whether the host can use them shows when the engine is open.
func EmbeddedSnapshotters() []string {
	var names []string
	none := func(*plugin.Registration) bool { return false }
	for _, r := range registry.Graph(none) {
		if r.Type == plugins.SnapshotPlugin {
			names = append(names, r.ID)
		}
	}
	slices.Sort(names)
	return names
}

// Snapshotters are the snapshotters that a containerd has, each with the reason why it cannot be
// used, nil when it can.
type Snapshotters map[string]error

// Snapshotters asks containerd for its snapshotters, those of proxy plugins included.
func (e *Engine) Snapshotters(ctx context.Context) (Snapshotters, error) {
	answer, err := e.Client.IntrospectionService().Plugins(Context(ctx), "type=="+string(plugins.SnapshotPlugin))
	if err != nil {
		return nil, fmt.Errorf("ask containerd at %s for its snapshotters: %w", e.Address, err)
	}
	found := Snapshotters{}
	for _, p := range answer.Plugins {
		found[p.ID] = nil
		if p.InitErr != nil {
			found[p.ID] = errors.New(p.InitErr.Message)
		}
	}
	return found, nil
}

// Check returns nil when the snapshotter can be used. It fails with errdefs.ErrNotFound when
// containerd does not know it, and with errdefs.ErrFailedPrecondition when the host lacks something.
func (s Snapshotters) Check(name string) error {
	reason, ok := s[name]
	switch {
	case !ok:
		names := make([]string, 0, len(s))
		for n := range s {
			names = append(names, n)
		}
		slices.Sort(names)
		return fmt.Errorf("containerd has no snapshotter %q, it has %s: %w", name, strings.Join(names, ", "), errdefs.ErrNotFound)
	case reason != nil:
		return fmt.Errorf("snapshotter %q cannot be used on this host: %w: %w", name, reason, errdefs.ErrFailedPrecondition)
	}
	return nil
}
