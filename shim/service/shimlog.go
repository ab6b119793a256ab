package service

import (
	"os"
	"sync"

	"github.com/containerd/log"
)

// maxShimLog bounds what a shim logs about itself: its log is on tmpfs.
const maxShimLog = 1 << 20

// setupLog sends the log to stderr, bounded.
func setupLog(o Options) {
	level := log.WarnLevel
	if o.Debug {
		level = log.DebugLevel
	}
	_ = log.SetLevel(level.String())
	log.L.Logger.SetOutput(&bounded{left: maxShimLog})
}

// bounded writes to stderr until the bound is used up.
type bounded struct {
	mu   sync.Mutex
	left int
}

func (b *bounded) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left < len(p) {
		return len(p), nil
	}
	b.left -= len(p)
	return os.Stderr.Write(p)
}
