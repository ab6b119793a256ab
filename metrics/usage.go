package metrics

import (
	"context"
	"sync"
	"time"

	"k8s.io/klog/v2"
)

const (
	defaultUsageAge      = 10 * time.Second
	defaultUsageParallel = 2
	defaultUsageTimeout  = 30 * time.Second
	// usageShare is the part of a processor that one layer may cost: a layer that took
	// a second to measure is measured again 20 seconds later at the earliest.
	usageShare = 20
)

// LayerUsage is what a writable layer occupies.
type LayerUsage struct {
	// Bytes and Inodes are the layer's own, without its parents.
	Bytes, Inodes uint64
	// At is when it was measured; it becomes the timestamp in CRI.
	At time.Time
	// Mountpoint is the directory of the filesystem that holds the layer, for CRI's FilesystemIdentifier.
	Mountpoint string
}

// LayerFunc measures one writable layer, e.g. with snapshots.Snapshotter.Usage.
// It may be slow (it can walk the whole layer) and must respect ctx.
type LayerFunc func(ctx context.Context, snapshotter, key string) (bytes, inodes uint64, err error)

// UsageOptions configure a UsageCache. Zero values are sensible.
type UsageOptions struct {
	// MaxAge is the age from which a figure is measured anew; 0 means 10 seconds.
	MaxAge time.Duration
	// Parallel bounds the measurements under way at once; 0 means 2.
	Parallel int
	// Timeout bounds one measurement; 0 means 30 seconds.
	Timeout time.Duration
	// Mountpoint tells where a snapshotter keeps its layers.
	Mountpoint func(snapshotter string) string
}

// UsageCache accounts writable layers in the background, so that no stats call
// walks a directory. A figure's age is visible in its time of measurement. Its
// goroutines live only while there is something to measure.
type UsageCache struct {
	measure LayerFunc
	opts    UsageOptions
	ctx     context.Context
	cancel  context.CancelFunc
	wg      sync.WaitGroup

	mu      sync.Mutex
	layers  map[layerKey]*layer
	queue   []layerKey // each at most once
	workers int
	closed  bool
}

type layerKey struct{ snapshotter, key string }

// layer is what is known of one. queued lasts from the request to the end of the measurement.
type layer struct {
	usage  LayerUsage
	known  bool
	queued bool
	next   time.Time
}

// NewUsageCache returns a cache of what measure says. Close ends its work.
func NewUsageCache(measure LayerFunc, opts UsageOptions) *UsageCache {
	if opts.MaxAge <= 0 {
		opts.MaxAge = defaultUsageAge
	}
	if opts.Parallel <= 0 {
		opts.Parallel = defaultUsageParallel
	}
	if opts.Timeout <= 0 {
		opts.Timeout = defaultUsageTimeout
	}
	if opts.Mountpoint == nil {
		opts.Mountpoint = func(string) string { return "" }
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &UsageCache{measure: measure, opts: opts, ctx: ctx, cancel: cancel, layers: map[layerKey]*layer{}}
}

// Get returns the last figure of a layer and asks for a new one if that is old.
// ok is false until the first measurement ended. It never blocks.
func (c *UsageCache) Get(snapshotter, key string) (usage LayerUsage, ok bool) {
	k := layerKey{snapshotter, key}
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.layers[k]
	if l == nil {
		l = &layer{}
		c.layers[k] = l
	}
	if !l.queued && !c.closed && !time.Now().Before(l.next) {
		l.queued = true
		c.queue = append(c.queue, k)
		if c.workers < c.opts.Parallel {
			c.workers++
			c.wg.Add(1)
			go c.work()
		}
	}
	return l.usage, l.known
}

// Forget drops what is known of a layer; call it when the container is removed.
func (c *UsageCache) Forget(snapshotter, key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.layers, layerKey{snapshotter, key})
}

// Close stops the measurements and waits until none runs.
func (c *UsageCache) Close() {
	c.mu.Lock()
	c.closed, c.queue = true, nil
	c.mu.Unlock()
	c.cancel()
	c.wg.Wait()
}

// work measures what is queued and ends with the queue.
func (c *UsageCache) work() {
	defer c.wg.Done()
	for {
		c.mu.Lock()
		if len(c.queue) == 0 {
			c.workers--
			c.mu.Unlock()
			return
		}
		k := c.queue[0]
		c.queue = c.queue[1:]
		c.mu.Unlock()
		c.one(k)
	}
}

// one measures a layer. One that cannot be measured keeps its last figure, whose age shows it.
func (c *UsageCache) one(k layerKey) {
	ctx, cancel := context.WithTimeout(c.ctx, c.opts.Timeout)
	defer cancel()
	start := time.Now()
	bytes, inodes, err := c.measure(ctx, k.snapshotter, k.key)
	end := time.Now()

	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.layers[k]
	if l == nil {
		return // forgotten meanwhile
	}
	l.queued = false
	l.next = end.Add(max(c.opts.MaxAge, usageShare*end.Sub(start)))
	if err != nil {
		if c.ctx.Err() == nil {
			klog.V(3).InfoS("Could not measure a writable layer", "snapshotter", k.snapshotter, "key", k.key, "err", err)
		}
		return
	}
	l.known = true
	l.usage = LayerUsage{Bytes: bytes, Inodes: inodes, At: end, Mountpoint: c.opts.Mountpoint(k.snapshotter)}
}

// prune drops layers that no container has any more.
func (c *UsageCache) prune(live map[layerKey]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, l := range c.layers {
		if !live[k] && !l.queued {
			delete(c.layers, k)
		}
	}
}
