package metrics

import (
	"sync"

	"github.com/containerd/errdefs"
	"k8s.io/klog/v2"
)

// readErrors counts what could not be read, by reader. A cgroup that vanished is no error.
type readErrors struct {
	mu sync.Mutex
	n  map[string]uint64
}

func newReadErrors() *readErrors { return &readErrors{n: map[string]uint64{}} }

func (e *readErrors) count(reader string, err error) {
	if vanished(err) || errdefs.IsNotFound(err) {
		return
	}
	klog.V(3).InfoS("Could not read figures", "reader", reader, "err", err)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.n[reader]++
}

// of gives a reader's count.
func (e *readErrors) of(reader string) uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.n[reader]
}
