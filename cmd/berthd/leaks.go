package main

import (
	"bufio"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/containerd/containerd/v2/core/snapshots"

	"github.com/berth-run/berth/engine"
)

// fullID is the form of the IDs that pods and containers have.
var fullID = regexp.MustCompile(`^[0-9a-f]{64}$`)

// leaks counts what is left of pods and containers that are gone. Every effect on the
// node belongs to a record that is there before it and goes after it, so whatever has none is
// a leak, also while pods come and go.
func (d *parts) leaks(ctx context.Context) (map[string]int, error) {
	paths := d.config.Paths()
	found := map[string]int{
		"pod-directory":       d.orphans(paths.Pods(), d.hasPod),
		"container-directory": d.orphans(paths.Containers(), d.hasContainer),
		"shim-socket":         d.orphanSockets(paths.Shims()),
		"address":             d.orphanAddresses(paths.CNIAddresses()),
	}
	snapshotters := map[string]bool{d.config.Containerd.Snapshotter: true}
	for _, name := range d.handlers.Snapshotters() {
		if name != "" {
			snapshotters[name] = true
		}
	}
	found["snapshot"] = 0
	for name := range snapshotters {
		err := d.engine.Client.SnapshotService(name).Walk(engine.Context(ctx), func(_ context.Context, i snapshots.Info) error {
			// Those that an image is unpacked into have other names.
			if i.Kind == snapshots.KindActive && fullID.MatchString(i.Name) && !d.hasContainer(i.Name) {
				found["snapshot"]++
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// hasPod reports whether the pod is known, or gone but for a CNI DEL that is owed: such a pod keeps its directory
// with its network namespace, and is no leak.
func (d *parts) hasPod(id string) bool {
	_, err := d.pods.Get(id)
	return err == nil || d.pods.OwesDetach(id)
}

// hasContainer is true for a pod's ID, too: a pod with a process of its own has one.
func (d *parts) hasContainer(id string) bool {
	_, err := d.containers.Get(id)
	return err == nil || d.hasPod(id)
}

// orphans counts entries of dir that are named after an object which is gone.
func (d *parts) orphans(dir string, has func(id string) bool) int {
	entries, _ := os.ReadDir(dir)
	n := 0
	for _, e := range entries {
		if fullID.MatchString(e.Name()) && !has(e.Name()) {
			n++
		}
	}
	return n
}

// orphanSockets counts sockets of shims, which are named after the first half of the pod's ID.
func (d *parts) orphanSockets(dir string) int {
	entries, _ := os.ReadDir(dir)
	n := 0
	for _, e := range entries {
		id, _, ok := strings.Cut(e.Name(), ".")
		if ok && len(id) == 32 && !d.hasPod(id) {
			n++
		}
	}
	return n
}

// orphanAddresses counts reservations of the default network: files that begin with the
// pod's ID. Pods whose CNI DEL is owed have theirs still.
func (d *parts) orphanAddresses(dir string) int {
	files, _ := filepath.Glob(filepath.Join(dir, "*", "*"))
	n := 0
	for _, file := range files {
		if id := firstLine(file); fullID.MatchString(id) && !d.hasPod(id) {
			n++
		}
	}
	return n
}

func firstLine(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	line, _ := bufio.NewReaderSize(f, 128).ReadString('\n')
	return strings.TrimSpace(line)
}
