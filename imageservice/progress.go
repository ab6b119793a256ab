package imageservice

import (
	"sync"
	"time"
)

// Progress is the state of a pull in flight.
type Progress struct {
	// Ref is the normalised reference.
	Ref string
	// Stage is "resolving", "queued", "fetching", "unpacking" or "committing"; "queued" too while
	// an earlier pull of the same image is being undone.
	Stage string
	// Host is the registry host that answered last.
	Host string
	// BytesDone of BytesTotal are here (0 of 0 until the manifest is known).
	BytesDone, BytesTotal int64
	// LayersDone of LayersTotal are downloaded; LayersUnpacked of them unpacked.
	LayersDone, LayersUnpacked, LayersTotal int
	// Waiters is the number of callers that wait for the pull.
	Waiters int
	// Started is when the first caller asked.
	Started time.Time
	// LastByte is when the last byte came; zero before the first one.
	LastByte time.Time
}

// progress is the state of a pull that others may look at.
type progress struct {
	mu sync.Mutex
	p  Progress

	fetched       int64 // over the network
	layersFetched int
	began         time.Time
	queued        time.Duration
}

func (g *progress) update(f func(p *Progress)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f(&g.p)
}

func (g *progress) snapshot() Progress {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.p
}

func (g *progress) stage(name string) { g.update(func(p *Progress) { p.Stage = name }) }

func (g *progress) setHost(name string) { g.update(func(p *Progress) { p.Host = name }) }

// bytes counts what came over the network.
func (g *progress) bytes(host string, n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.p.Host = host
	g.p.BytesDone += int64(n)
	g.p.LastByte = time.Now()
	g.fetched += int64(n)
}

// arrived is what came over the network so far, in bytes.
func (g *progress) arrived() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.fetched
}

// have counts content that was on the node already.
func (g *progress) have(n int64) { g.update(func(p *Progress) { p.BytesDone += n }) }

// result sums up a pull that ended.
func (g *progress) result(id string, err error) PullResult {
	g.mu.Lock()
	defer g.mu.Unlock()
	return PullResult{
		Ref: g.p.Ref, ID: id, Bytes: g.fetched, Layers: g.p.LayersTotal, LayersFetched: g.layersFetched,
		Queued: g.queued, Duration: time.Since(g.began), Err: err,
	}
}
