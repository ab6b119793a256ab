package imageservice

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// errStalled is the cause of a transfer that was given up for being too slow.
var errStalled = errors.New("transfer stalled")

// floorReader reads from a registry host and gives up when the throughput stays
// below a floor. Only time spent in Read counts: a slow disk behind the reader
// is not the registry's fault.
type floorReader struct {
	r      io.Reader
	cancel context.CancelCauseFunc // ends the request that r reads from
	window time.Duration
	floor  int64 // bytes a second

	mu      sync.Mutex
	timer   *time.Timer
	reading bool
	began   time.Time     // of the Read under way
	spent   time.Duration // reading in this window, without the Read under way
	got     int64         // bytes in this window
}

// newFloorReader wraps r, whose request ends with cancel.
func newFloorReader(r io.Reader, cancel context.CancelCauseFunc, window time.Duration, floor int64) *floorReader {
	f := &floorReader{r: r, cancel: cancel, window: window, floor: floor}
	f.timer = time.AfterFunc(window, f.expire)
	f.timer.Stop()
	return f
}

// Read implements io.Reader.
func (f *floorReader) Read(p []byte) (int, error) {
	f.mu.Lock()
	f.reading, f.began = true, time.Now()
	f.timer.Reset(f.window - f.spent)
	f.mu.Unlock()

	n, err := f.r.Read(p)

	f.mu.Lock()
	defer f.mu.Unlock()
	f.timer.Stop()
	f.spent += time.Since(f.began)
	f.reading = false
	f.got += int64(n)
	if f.spent >= f.window {
		f.judge()
	}
	return n, err
}

// expire runs when a Read lasts until the end of the window.
func (f *floorReader) expire() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.reading {
		return
	}
	now := time.Now()
	f.spent += now.Sub(f.began)
	f.began = now
	f.judge()
	f.timer.Reset(f.window)
}

// judge ends a window: the transfer is cancelled when it brought too little.
func (f *floorReader) judge() {
	if want := int64(float64(f.floor) * f.window.Seconds()); f.got < max(want, 1) {
		f.cancel(fmt.Errorf("%d bytes in %s, the floor is %d bytes/s: %w", f.got, f.window, f.floor, errStalled))
	}
	f.spent, f.got = 0, 0
}

// stop ends the watch.
func (f *floorReader) stop() { f.timer.Stop() }
