package metrics

import (
	"context"
	"time"
)

const (
	defaultUsageAge      = 10 * time.Second
	defaultUsageParallel = 2
	defaultUsageTimeout  = 30 * time.Second
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
	// MaxAge is the age from which a figure is measured anew, unless the container did nothing; 0 means 10 seconds.
	MaxAge time.Duration
	// Parallel bounds the measurements under way at once; 0 means 2.
	Parallel int
	// Timeout bounds one measurement; 0 means 30 seconds.
	Timeout time.Duration
	// Mountpoint tells where a snapshotter keeps its layers.
	Mountpoint func(snapshotter string) string
}

// UsageCache accounts writable layers in the background, so that no stats call
// walks a directory. A figure's age is visible in its time of measurement.
type UsageCache struct {
	layers *background[layerKey, LayerUsage]
}

type layerKey struct{ snapshotter, key string }

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
	get := func(ctx context.Context, k layerKey) (LayerUsage, error) {
		bytes, inodes, err := measure(ctx, k.snapshotter, k.key)
		return LayerUsage{Bytes: bytes, Inodes: inodes, Mountpoint: opts.Mountpoint(k.snapshotter)}, err
	}
	return &UsageCache{newBackground(get, backgroundOptions{
		what: "writable layers", maxAge: opts.MaxAge, parallel: opts.Parallel, timeout: opts.Timeout,
	})}
}

// Get returns the last figure of a layer and asks for a new one if that is old.
// ok is false until the first measurement ended. It never blocks.
func (c *UsageCache) Get(snapshotter, key string) (usage LayerUsage, ok bool) {
	usage, usage.At = c.layers.Get(layerKey{snapshotter, key})
	return usage, !usage.At.IsZero()
}

// Prime measures a layer for the first time, so that the first Get has a figure; call it when the container is started.
func (c *UsageCache) Prime(snapshotter, key string) {
	c.layers.Prime(layerKey{snapshotter, key})
}

// known is Get without asking for a new figure; began is when the last one began to be measured.
func (c *UsageCache) known(snapshotter, key string) (usage LayerUsage, began time.Time, ok bool) {
	usage, began, usage.At = c.layers.known(layerKey{snapshotter, key})
	return usage, began, !usage.At.IsZero()
}

// Forget drops what is known of a layer; call it when the container is removed.
func (c *UsageCache) Forget(snapshotter, key string) {
	c.layers.Forget(layerKey{snapshotter, key})
}

// Close stops the measurements and waits until none runs.
func (c *UsageCache) Close() { c.layers.Close() }
