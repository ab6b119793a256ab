package main

import (
	"bufio"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/snapshots"

	"github.com/berth-run/berth/config"
	"github.com/berth-run/berth/container"
	"github.com/berth-run/berth/engine"
	"github.com/berth-run/berth/sandbox"
)

// fullID is the form of the IDs that pods and containers have.
var fullID = regexp.MustCompile(`^[0-9a-f]{64}$`)

// leakFinder counts what is left of pods and containers that are gone. Each effect on the node belongs to a record, which
// is written before the effect and deleted after it. An effect without a record is a leak, also while pods come and go.
type leakFinder struct {
	config       *config.Config
	client       *containerd.Client
	snapshotters map[string]string // of the runtime handlers, by name
	pods         *sandbox.Manager
	containers   *container.Manager
}

// count counts the leaks by kind.
func (l leakFinder) count(ctx context.Context) (map[string]int, error) {
	paths := l.config.Paths()
	found := map[string]int{
		"pod-directory":       l.orphans(paths.Pods(), l.hasPod),
		"container-directory": l.orphans(paths.Containers(), l.hasContainer),
		"shim-socket":         l.orphanSockets(paths.Shims()),
		"address":             l.orphanAddresses(paths.CNIAddresses()),
	}
	snapshotters := map[string]bool{l.config.Containerd.Snapshotter: true}
	for _, name := range l.snapshotters {
		if name != "" {
			snapshotters[name] = true
		}
	}
	found["snapshot"] = 0
	for name := range snapshotters {
		err := l.client.SnapshotService(name).Walk(engine.Context(ctx), func(_ context.Context, i snapshots.Info) error {
			// Those that an image is unpacked into have other names.
			if i.Kind == snapshots.KindActive && fullID.MatchString(i.Name) && !l.hasContainer(i.Name) {
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
func (l leakFinder) hasPod(id string) bool {
	_, err := l.pods.Get(id)
	return err == nil || l.pods.OwesDetach(id)
}

// hasContainer reports whether the container is known. A pod with a process of its own has a container of its own ID.
func (l leakFinder) hasContainer(id string) bool {
	_, err := l.containers.Get(id)
	return err == nil || l.hasPod(id)
}

// orphans counts entries of dir that are named after an object which is gone.
func (l leakFinder) orphans(dir string, has func(id string) bool) int {
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
func (l leakFinder) orphanSockets(dir string) int {
	entries, _ := os.ReadDir(dir)
	n := 0
	for _, e := range entries {
		id, _, ok := strings.Cut(e.Name(), ".")
		if ok && len(id) == 32 && !l.hasPod(id) {
			n++
		}
	}
	return n
}

// orphanAddresses counts reservations of the default network: files that begin with the
// pod's ID. Pods whose CNI DEL is owed have theirs still.
func (l leakFinder) orphanAddresses(dir string) int {
	files, _ := filepath.Glob(filepath.Join(dir, "*", "*"))
	n := 0
	for _, file := range files {
		if id := firstLine(file); fullID.MatchString(id) && !l.hasPod(id) {
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
