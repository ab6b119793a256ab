package main

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
)

const (
	// trimEvery is how often the daemon looks whether it holds memory without use: soon after
	// a burst, and seldom enough for a collection, of 20 ms of CPU on a full node, not to count.
	trimEvery = 10 * time.Second
	// trimAbove is how much of it, in bytes, is worth a garbage collection.
	trimAbove = 1 << 20
	// quietAfter is how long after a call there is time to collect what it left behind: kubelets
	// ask several things in a row.
	quietAfter = 100 * time.Millisecond
)

// trimmer collects garbage between calls, and gives memory back to the node that a burst of them
// left behind.
type trimmer struct {
	calls atomic.Int64 // under way
	quiet *time.Timer
}

func newTrimmer() *trimmer {
	t := &trimmer{quiet: time.NewTimer(0)}
	t.quiet.Stop()
	return t
}

// run works until ctx is done.
func (t *trimmer) run(ctx context.Context) {
	ticker := time.NewTicker(trimEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			trim()
		case <-t.quiet.C:
			if t.calls.Load() == 0 { // else it begins again with the end of the last one
				collect()
			}
		}
	}
}

// unary takes notice of calls that end.
func (t *trimmer) unary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	t.calls.Add(1)
	defer func() {
		if t.calls.Add(-1) == 0 {
			t.quiet.Reset(quietAfter)
		}
	}()
	return next(ctx, req)
}

// trim gives back what has no use. Go's runtime does so too, but keeps a tenth of the largest
// heap of late, which is much of what a daemon holds that has little to do.
func trim() {
	if runtimeFigures("/memory/classes/heap/free:bytes")[0] > trimAbove {
		debug.FreeOSMemory()
	}
}

// collect makes room for the next call when little of it is left: a collection takes as long as the stats of a
// hundred pods, and one that a call sets off goes on beside it.
func collect() {
	heap := runtimeFigures("/memory/classes/heap/objects:bytes", "/gc/heap/live:bytes", "/gc/heap/goal:bytes")
	if halfTaken(heap[0], heap[1], heap[2]) {
		runtime.GC()
	}
}

// halfTaken tells that half of what may be taken between what lives and the goal is. Without
// collections (GOGC=off) the goal is as large as a number can be.
func halfTaken(used, live, goal uint64) bool {
	return goal > live && used > live+(goal-live)/2
}

func runtimeFigures(names ...string) []uint64 {
	samples := make([]metrics.Sample, len(names))
	for i, name := range names {
		samples[i].Name = name
	}
	metrics.Read(samples)
	values := make([]uint64, len(names))
	for i := range samples {
		values[i] = samples[i].Value.Uint64()
	}
	return values
}
