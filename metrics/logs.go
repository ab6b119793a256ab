package metrics

import (
	"context"
	"time"
)

const (
	logAge     = 30 * time.Second
	logTimeout = 2 * time.Second
	// logsWanted is how long after a scrape other passes have logs asked for, too.
	logsWanted = 5 * time.Minute
)

// LogUsage is what a container wrote to its log.
type LogUsage struct {
	// Written reached the log, Dropped could not be written; bytes.
	Written, Dropped uint64
}

// LogFunc asks the shim of a pod what its containers, by ID, have logged. It must respect ctx.
type LogFunc func(ctx context.Context, podID string) (map[string]LogUsage, error)

// LogCache accounts logs in the background, a pod at a time.
type LogCache struct {
	pods *background[string, map[string]LogUsage]
}

// NewLogCache returns a cache of what ask says. Close ends its work.
func NewLogCache(ask LogFunc) *LogCache {
	return &LogCache{newBackground(ask, backgroundOptions{what: "logs", maxAge: logAge, parallel: 1, timeout: logTimeout})}
}

func (l *LogCache) known(podID, containerID string) (LogUsage, bool) {
	all, _, _ := l.pods.known(podID)
	u, ok := all[containerID]
	return u, ok
}

// renew asks for what is old of the pods of a pass. Every shim is woken for it, so that is done when the
// pass has been answered, and only as long as somebody wants to know.
func (l *LogCache) renew(p *pass, wanted time.Time) {
	if l == nil || time.Since(wanted) > logsWanted {
		return
	}
	for _, pod := range p.pods {
		if pod.ready() {
			l.pods.Get(pod.ref.ID)
		}
	}
}

// Close stops the work and waits until there is none.
func (l *LogCache) Close() { l.pods.Close() }
