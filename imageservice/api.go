package imageservice

import (
	"context"
	"errors"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/mount"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

var errSoon = errors.New("being written")

func defaultParallelUnpacks() int          { return 2 }
func userOf(string) (uid *int64, n string) { return nil, "" }

// Service is the image service of the node.
type Service struct{}

// New makes a service on client; it does no I/O. Options that make no sense
// (an unknown platform, a pinned reference that does not parse) are
// ErrInvalidArgument.
func New(client *containerd.Client, opts Options) (*Service, error) { return nil, errSoon }

// Recover builds the index from containerd's image store, gives back leases of
// pulls that a killed daemon left, and starts following image events until
// Close. It is called once, before any other method.
func (s *Service) Recover(ctx context.Context) error { return errSoon }

// Close stops following events, cancels the pulls in flight and waits until
// everything the service started has ended.
func (s *Service) Close() error { return nil }

// List returns the images that filter selects, sorted by ID; a nil or empty
// filter selects all. A filter that matches nothing gives an empty list.
func (s *Service) List(filter *runtimeapi.ImageFilter) []*Image { return nil }

// Status returns the image that ref names: a reference (a missing tag means
// latest), a repository digest, an ID, or a unique prefix of one. ErrNotFound
// when there is none, ErrInvalidArgument when a prefix fits several or ref can
// be neither.
func (s *Service) Status(ref string) (*Image, error) { return nil, errSoon }

// Resolve is Status for a container's ImageSpec: it tries image_ref's image first
// and then user_specified_image, and rejects unknown runtime handlers.
func (s *Service) Resolve(spec *runtimeapi.ImageSpec) (*Image, error) { return nil, errSoon }

// VerboseInfo returns ImageStatusResponse.info: one key "info" with a JSON object
// of chainID, target, manifest, layers and configuration.
func (s *Service) VerboseInfo(img *Image) (map[string]string, error) { return nil, errSoon }

// Pull makes the image of spec available, unpacked, and returns its ID, which is
// PullImageResponse.image_ref. Callers with the same reference, credentials and
// snapshotter share one pull; it is cancelled when the last of them has left.
//
// Errors: ErrInvalidArgument (reference, credentials or runtime handler make no
// sense), ErrNotFound (no registry host knows it, or it has nothing for this
// platform), ErrUnauthenticated and ErrPermissionDenied, ErrUnavailable (message
// starts with RegistryUnavailable), ErrDeadlineExceeded, ErrDataLoss (content that
// does not match its digest), ErrFailedPrecondition (content that is no image).
func (s *Service) Pull(ctx context.Context, spec *runtimeapi.ImageSpec, auth *runtimeapi.AuthConfig, sandbox *runtimeapi.PodSandboxConfig) (string, error) {
	return "", errSoon
}

// Progress is the state of a pull in flight.
type Progress struct {
	// Ref is the normalised reference.
	Ref string
	// Stage is "queued", "resolving", "fetching", "unpacking" or "committing".
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

// Pulls returns the pulls in flight, oldest first.
func (s *Service) Pulls() []Progress { return nil }

// Remove removes the image ref leads to with all its references (CRI
// RemoveImage). An image that is not there is success. Containers that use the
// image keep their snapshots.
func (s *Service) Remove(ctx context.Context, ref string) error { return errSoon }

// EnsureUnpacked makes sure that the image's layers are snapshots of snapshotter
// ("" for the default one), which is not so for images that ctr imported. The
// parent for a container's snapshot is then img.ChainID.
func (s *Service) EnsureUnpacked(ctx context.Context, img *Image, snapshotter string) error {
	return errSoon
}

// SnapshotterFor returns the snapshotter of a runtime handler; ErrInvalidArgument
// when the handler is not known.
func (s *Service) SnapshotterFor(runtimeHandler string) (string, error) { return "", errSoon }

// PrepareImageMount makes a read-only view of the image's file system, a snapshot
// named key, and returns how to mount it. The same key again gives the same view.
// The caller owns the view until RemoveImageMount. Views survive the removal of
// the image and restarts.
func (s *Service) PrepareImageMount(ctx context.Context, img *Image, key string) ([]mount.Mount, error) {
	return nil, errSoon
}

// RemoveImageMount removes the view named key; a missing one is success. It has
// to be unmounted before.
func (s *Service) RemoveImageMount(ctx context.Context, key string) error { return errSoon }

// FilesystemUsage is the use of a file system by images or by containers.
type FilesystemUsage struct {
	// Mountpoint is a path on the file system (the CRI's fs_id.mountpoint).
	Mountpoint string
	// UsedBytes on disk, and InodesUsed.
	UsedBytes, InodesUsed uint64
	// Timestamp is when the figures were taken: their age is visible.
	Timestamp time.Time
}

// FsInfo answers ImageFsInfo.
type FsInfo struct {
	// Images is the use by image snapshots and content; Containers by writable
	// layers.
	Images, Containers FilesystemUsage
}

// FsInfo returns the last figures of the background accounting, and has them
// refreshed when they are older than Options.UsageMaxAge. Only before the first
// figures are there does it wait for them.
func (s *Service) FsInfo(ctx context.Context) (FsInfo, error) { return FsInfo{}, errSoon }

// SnapshotUsage is what one writable layer takes on disk.
type SnapshotUsage struct {
	// Bytes on disk, and Inodes.
	Bytes, Inodes int64
	// Timestamp is when the figures were taken.
	Timestamp time.Time
}

// SnapshotUsage returns the last known use of an active snapshot (a container's
// writable layer), and has it refreshed like FsInfo. False when it was not
// measured yet.
func (s *Service) SnapshotUsage(snapshotter, key string) (SnapshotUsage, bool) {
	return SnapshotUsage{}, false
}
