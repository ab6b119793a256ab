package imageservice

import (
	"context"
	"time"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/defaults"
	"github.com/containerd/containerd/v2/version"

	"github.com/berth-run/berth/internal/failpoint"
)

// Options configure a [Service]. The zero value of each field selects the
// default named in its comment.
type Options struct {
	// Namespace is the containerd namespace. Default "k8s.io".
	Namespace string
	// Snapshotter unpacks images unless the runtime handler names another.
	// Default "overlayfs".
	Snapshotter string
	// RuntimeHandlers maps the names of the runtime handlers to the snapshotter
	// each of them needs, "" meaning Snapshotter. When it is not nil, an
	// ImageSpec.runtime_handler that it lacks is InvalidArgument.
	RuntimeHandlers map[string]string
	// RegistryConfigDir holds one directory per registry host (or _default)
	// with a hosts.toml. Default "/etc/containerd/certs.d".
	RegistryConfigDir string
	// Platform to select in multi-platform images, as os/arch[/variant].
	// Default: the platform of this process.
	Platform string

	// ResolveTimeout bounds what one registry host may take to answer for a
	// manifest or the headers of a blob. Default 30 s.
	ResolveTimeout time.Duration
	// StallTimeout is the longest time a transfer may stay below
	// MinBytesPerSecond before its host is given up and the next one is asked
	// for the rest. Time spent writing to the local disk does not count.
	// Default 60 s.
	StallTimeout time.Duration
	// MinBytesPerSecond is the floor under a transfer's throughput, averaged
	// over StallTimeout. Default 1 (any byte counts).
	MinBytesPerSecond int64
	// MaxUnpackedSize bounds what the layers of an image take on disk, in bytes; 0 is no bound.
	MaxUnpackedSize int64
	// PullTimeout bounds a whole pull, queueing included. Default 1 hour.
	PullTimeout time.Duration
	// RemoveTimeout bounds the removal of an image, garbage collection
	// included. Default 2 minutes.
	RemoveTimeout time.Duration

	// MaxConcurrentPulls bounds the pulls that work at once; further ones
	// queue. Pulls that wait for their registry do not count, and the pulls of
	// several registries get equal shares. Default 8.
	MaxConcurrentPulls int
	// MaxParallelLayers bounds the layers one pull downloads at once.
	// Default 6.
	MaxParallelLayers int
	// MaxParallelUnpacks bounds the layers that are decompressed and written to
	// snapshots at once, over all pulls. Default: the number of CPUs, at least 2.
	MaxParallelUnpacks int
	// DiscardUnpackedLayers lets containerd drop the compressed layers once
	// they are unpacked.
	DiscardUnpackedLayers bool
	// DisableStreaming unpacks a layer only after all of it was downloaded,
	// and leaves that to containerd's diff service, one layer after the other. The default unpacks
	// layers side by side while downloading, in this process, where the snapshotter allows it.
	DisableStreaming bool

	// PinnedImages are references that Image.pinned is reported for, see ParsePins.
	PinnedImages []string
	// UserAgent is sent to registries. Default "berth (containerd <version>)".
	UserAgent string

	// ImageFSPath is the mountpoint reported for images by ImageFsInfo.
	// Default: the snapshotter's root as containerd tells it.
	ImageFSPath string
	// BesideLayer measures what a container keeps beside its writable layer, whose key is the container's ID; it
	// counts as the writable layer does. Nil for nothing.
	BesideLayer func(ctx context.Context, key string) (snapshots.Usage, error)
	// ContainerFSPath is the mountpoint reported for writable layers.
	// Default: ImageFSPath.
	ContainerFSPath string
	// UsageMaxAge is the age from which disk usage figures are refreshed in
	// the background when somebody asks for them. Default 10 s.
	UsageMaxAge time.Duration

	// Failpoints are hit between the effects of pulls and removals; nil has none.
	Failpoints *failpoint.Set

	// Hooks are told what pulls do. Nil fields are skipped.
	Hooks Hooks
}

// Hooks let metrics follow pulls without this package knowing about them. They
// are called synchronously, possibly from many goroutines, and must not block.
type Hooks struct {
	// PullStarted is called when a pull (not a joining caller) begins.
	PullStarted func(ref string)
	// PullJoined is called when a caller joins a pull in flight.
	PullJoined func(ref string)
	// PullFinished is called with the figures of a pull that ended; err is nil
	// for success.
	PullFinished func(result PullResult)
	// BytesFetched is called with the number of bytes that arrived from host.
	BytesFetched func(host string, n int)
	// LayerFetched is called for each layer blob downloaded, with compressed
	// size and duration.
	LayerFetched func(host string, size int64, took time.Duration)
	// LayerUnpacked is called for each layer applied to a snapshot, with its
	// compressed size and duration.
	LayerUnpacked func(size int64, took time.Duration)
	// HostFailed is called for each failed try at a registry host. Reason is
	// one of "notfound", "auth", "denied", "stalled", "timeout", "corrupt",
	// "throttled", "server", "network", "forbidden", "malformed".
	HostFailed func(host, reason string)
}

// PullResult are the figures of one finished pull.
type PullResult struct {
	// Ref is the normalised reference.
	Ref string
	// ID of the image, empty when the pull failed.
	ID string
	// Bytes that came over the network.
	Bytes int64
	// Layers of the image, and LayersFetched of them over the network.
	Layers, LayersFetched int
	// Queued is the time spent waiting for a free pull slot, Duration the whole.
	Queued, Duration time.Duration
	// Err is nil when the pull succeeded.
	Err error
}

// withDefaults fills the fields left at zero.
func (o Options) withDefaults() Options {
	setDefault(&o.Namespace, "k8s.io")
	setDefault(&o.Snapshotter, defaults.DefaultSnapshotter)
	setDefault(&o.RegistryConfigDir, "/etc/containerd/certs.d")
	setDefault(&o.ResolveTimeout, 30*time.Second)
	setDefault(&o.StallTimeout, 60*time.Second)
	setDefault(&o.MinBytesPerSecond, 1)
	setDefault(&o.PullTimeout, time.Hour)
	setDefault(&o.RemoveTimeout, 2*time.Minute)
	setDefault(&o.MaxConcurrentPulls, 8)
	setDefault(&o.MaxParallelLayers, 6)
	setDefault(&o.MaxParallelUnpacks, defaultParallelUnpacks())
	setDefault(&o.UserAgent, "berth (containerd "+version.Version+")")
	setDefault(&o.UsageMaxAge, 10*time.Second)
	return o
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}
