package service

import (
	"slices"
	"sync"

	"github.com/berth-run/berth/shim/api"
)

const (
	// watchQueue is how many events a watcher may be behind before it is cut off.
	watchQueue = 256
	// maxRecords is how many records of deleted tasks are kept when nobody forgets them.
	maxRecords = 1000
)

// registry holds the newest record of every container and tells watchers about changes.
type registry struct {
	mu       sync.Mutex
	records  []api.Record // in the order of creation
	watchers map[*watcher]struct{}
}

// watcher gets events; its channel is closed when it was too slow.
type watcher struct{ events chan *api.Event }

func newRegistry() *registry { return &registry{watchers: make(map[*watcher]struct{})} }

// publish replaces the record of a container and tells watchers.
func (g *registry) publish(t api.EventType, r api.Record) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if t == api.EventCreated {
		g.removeLocked(r.ID) // a new task of the same container
	}
	if i := g.find(r.ID); i >= 0 {
		g.records[i] = r
	} else if t == api.EventCreated { // others were forgotten
		g.records = append(g.records, r)
	}
	g.shrink()
	for w := range g.watchers {
		select {
		case w.events <- &api.Event{Type: t, Record: r}:
		default:
			g.dropLocked(w)
		}
	}
}

func (g *registry) find(id string) int {
	return slices.IndexFunc(g.records, func(r api.Record) bool { return r.ID == id })
}

// shrink lets go of the oldest record of a deleted task when there are too many.
func (g *registry) shrink() {
	if len(g.records) <= maxRecords {
		return
	}
	if i := slices.IndexFunc(g.records, func(r api.Record) bool { return r.Deleted }); i >= 0 {
		g.records = slices.Delete(g.records, i, i+1)
	}
}

// get returns the record of a container.
func (g *registry) get(id string) (api.Record, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := g.find(id); i >= 0 {
		return g.records[i], true
	}
	return api.Record{}, false
}

// all returns every record.
func (g *registry) all() []api.Record {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.records)
}

func (g *registry) remove(id string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.removeLocked(id)
}

func (g *registry) removeLocked(id string) {
	if i := g.find(id); i >= 0 {
		g.records = slices.Delete(g.records, i, i+1)
	}
}

// watch returns all records and a watcher that gets every change after them.
func (g *registry) watch() ([]api.Record, *watcher) {
	g.mu.Lock()
	defer g.mu.Unlock()
	w := &watcher{events: make(chan *api.Event, watchQueue)}
	g.watchers[w] = struct{}{}
	return slices.Clone(g.records), w
}

func (g *registry) drop(w *watcher) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.dropLocked(w)
}

func (g *registry) dropLocked(w *watcher) {
	if _, ok := g.watchers[w]; ok {
		delete(g.watchers, w)
		close(w.events)
	}
}
