package service

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// maxShimLog bounds what a shim logs about itself: its log is on tmpfs.
const maxShimLog = 1 << 20

// shimLog is this process's log, on stderr.
var shimLog struct {
	debug atomic.Bool
	mu    sync.Mutex
	size  int
}

// logf logs what somebody should look at.
func logf(format string, args ...any) {
	line := time.Now().UTC().Format(time.RFC3339Nano) + " " + fmt.Sprintf(format, args...) + "\n"
	shimLog.mu.Lock()
	defer shimLog.mu.Unlock()
	if shimLog.size+len(line) > maxShimLog {
		return
	}
	shimLog.size += len(line)
	_, _ = os.Stderr.WriteString(line)
}

// debugf logs what helps to find out what went wrong.
func debugf(format string, args ...any) {
	if shimLog.debug.Load() {
		logf(format, args...)
	}
}
