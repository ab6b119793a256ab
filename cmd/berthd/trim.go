package main

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// trimEvery is how often the daemon looks whether it holds memory without use: soon after
	// a burst, and seldom enough for a collection, of 20 ms of CPU on a full node, not to count.
	trimEvery = 10 * time.Second
	// trimAbove is how much of it, in bytes, is worth a garbage collection.
	trimAbove = 1 << 20
)

// trim gives memory back to the node that a burst of calls left behind, until ctx is
// done. Go's runtime does so too, but keeps a tenth of the largest heap of late, which
// is much of what a daemon holds that has little to do.
func trim(ctx context.Context) {
	free := []metrics.Sample{{Name: "/memory/classes/heap/free:bytes"}}
	ticker := time.NewTicker(trimEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if metrics.Read(free); free[0].Value.Uint64() > trimAbove {
			debug.FreeOSMemory()
		}
	}
}
