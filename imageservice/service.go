package imageservice

import (
	"context"
	"fmt"
	"runtime"
	"sync"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"golang.org/x/sync/semaphore"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Service is the image service of the node.
type Service struct {
	client       *containerd.Client
	opts         Options
	platform     platforms.MatchComparer
	platformText string

	idx   *index
	usage *accounting

	// writes is held while image records change together with the index, so
	// that the index ends up as the store is, whoever changed it.
	writes sync.Mutex

	pulls    pulls
	seats    *seats
	applying *semaphore.Weighted
	locks    *keyLock
	streamed streamMemory

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// defaultParallelUnpacks is one decompression per CPU.
func defaultParallelUnpacks() int { return max(2, runtime.GOMAXPROCS(0)) }

// New makes a service on client; it does no I/O. Options that make no sense
// (an unknown platform, a pinned reference that does not parse) are
// ErrInvalidArgument.
func New(client *containerd.Client, opts Options) (*Service, error) {
	opts = opts.withDefaults()
	spec := platforms.DefaultSpec()
	if opts.Platform != "" {
		var err error
		if spec, err = platforms.Parse(opts.Platform); err != nil {
			return nil, fmt.Errorf("image platform %q: %v: %w", opts.Platform, err, errdefs.ErrInvalidArgument)
		}
	}
	pinned, err := ParsePins(opts.PinnedImages)
	if err != nil {
		return nil, fmt.Errorf("pinned images: %w", err)
	}
	ctx, cancel := context.WithCancel(namespaces.WithNamespace(context.Background(), opts.Namespace))
	s := &Service{
		client:       client,
		opts:         opts,
		platform:     platforms.Only(spec),
		platformText: platforms.Format(spec),
		idx:          newIndex(pinned),
		pulls:        pulls{byKey: map[string]*pull{}},
		seats:        newSeats(opts.MaxConcurrentPulls),
		applying:     semaphore.NewWeighted(int64(opts.MaxParallelUnpacks)),
		locks:        newKeyLock(),
		ctx:          ctx,
		cancel:       cancel,
	}
	s.usage = newAccounting(s)
	return s, nil
}

// withNamespace puts the service's containerd namespace on a caller's context.
func (s *Service) withNamespace(ctx context.Context) context.Context {
	return namespaces.WithNamespace(ctx, s.opts.Namespace)
}

// Close stops following events, cancels the pulls in flight and waits until
// everything the service started has ended.
func (s *Service) Close() error {
	s.cancel()
	s.pulls.close()
	s.wg.Wait()
	return nil
}

// List returns the images that filter selects, sorted by ID; a nil or empty
// filter selects all. A filter that matches nothing gives an empty list.
func (s *Service) List(filter *runtimeapi.ImageFilter) []*Image {
	ref := filter.GetImage().GetImage()
	if ref == "" {
		return s.idx.all()
	}
	img, err := s.idx.find(ref)
	if err != nil {
		return []*Image{}
	}
	return []*Image{img}
}

// Status returns the image that ref names: a reference (a missing tag means
// latest), a repository digest, an ID, or a unique prefix of one. ErrNotFound
// when there is none, ErrInvalidArgument when a prefix fits several or ref can
// be neither.
func (s *Service) Status(ref string) (*Image, error) { return s.idx.find(ref) }

// OnGone has f called with the ID of every image that leaves the node from now on, by whoever's hand, soon after it
// is listed no more. f must not wait.
func (s *Service) OnGone(f func(id string)) {
	s.idx.mu.Lock()
	defer s.idx.mu.Unlock()
	s.idx.gone = f
}

// Resolve is Status for a container's ImageSpec: the image ID or reference in
// image, else in image_ref. Unknown runtime handlers are ErrInvalidArgument.
func (s *Service) Resolve(spec *runtimeapi.ImageSpec) (*Image, error) {
	if _, err := s.SnapshotterFor(spec.GetRuntimeHandler()); err != nil {
		return nil, err
	}
	if spec.GetImage() == "" && spec.GetImageRef() != "" {
		return s.idx.find(spec.GetImageRef())
	}
	return s.idx.find(spec.GetImage())
}

// SnapshotterFor returns the snapshotter of a runtime handler; ErrInvalidArgument
// when the handler is not known.
func (s *Service) SnapshotterFor(runtimeHandler string) (string, error) {
	if runtimeHandler == "" || s.opts.RuntimeHandlers == nil {
		return s.opts.Snapshotter, nil
	}
	sn, ok := s.opts.RuntimeHandlers[runtimeHandler]
	if !ok {
		return "", fmt.Errorf("runtime handler %q is not configured on this node: %w", runtimeHandler, errdefs.ErrInvalidArgument)
	}
	if sn == "" {
		sn = s.opts.Snapshotter
	}
	return sn, nil
}
