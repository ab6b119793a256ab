package imageservice

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"k8s.io/klog/v2"
)

// Bounds of the accounting.
const (
	// usagePassTimeout bounds one pass over all snapshots.
	usagePassTimeout = 5 * time.Minute
	// usageRest is how many times its own duration the accounting rests after a
	// pass: it never takes more than some 3 % of one CPU, however slow disks are.
	usageRest = 30
)

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

// SnapshotUsage is what one writable layer takes on disk.
type SnapshotUsage struct {
	// Bytes on disk, and Inodes.
	Bytes, Inodes int64
	// Timestamp is when the figures were taken.
	Timestamp time.Time
}

// snapshotKey names a snapshot on this node.
type snapshotKey struct{ snapshotter, name string }

// accounting measures disk usage in the background, only when somebody asks.
type accounting struct {
	s     *Service
	first chan struct{} // closed when the first figures are there

	mu        sync.Mutex
	running   bool
	notBefore time.Time
	info      FsInfo
	committed map[snapshotKey]snapshots.Usage // immutable, measured once
	active    map[snapshotKey]SnapshotUsage
	roots     map[string]string // of snapshotters, from containerd
}

func newAccounting(s *Service) *accounting {
	return &accounting{
		s: s, first: make(chan struct{}),
		committed: map[snapshotKey]snapshots.Usage{}, active: map[snapshotKey]SnapshotUsage{}, roots: map[string]string{},
	}
}

// FsInfo returns the last figures of the background accounting, and has them
// refreshed when they are older than Options.UsageMaxAge. Only before the first
// figures are there does it wait for them.
func (s *Service) FsInfo(ctx context.Context) (FsInfo, error) {
	a := s.usage
	a.refresh()
	select {
	case <-a.first:
	case <-ctx.Done():
		return FsInfo{}, fmt.Errorf("image file system usage is not measured yet: %w", ctx.Err())
	case <-s.ctx.Done():
		return FsInfo{}, fmt.Errorf("the image service is shutting down: %w", errdefs.ErrUnavailable)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.info, nil
}

// SnapshotUsage returns the last known use of an active snapshot (a container's
// writable layer), and has it refreshed like FsInfo. False when it was not
// measured yet.
func (s *Service) SnapshotUsage(snapshotter, key string) (SnapshotUsage, bool) {
	setDefault(&snapshotter, s.opts.Snapshotter)
	s.usage.refresh()
	s.usage.mu.Lock()
	defer s.usage.mu.Unlock()
	u, ok := s.usage.active[snapshotKey{snapshotter, key}]
	return u, ok
}

// refresh starts a pass when the figures are old and the last pass is long enough
// ago. It does not wait.
func (a *accounting) refresh() {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	fresh := now.Sub(a.info.Images.Timestamp) < a.s.opts.UsageMaxAge
	if a.running || fresh || now.Before(a.notBefore) || a.s.ctx.Err() != nil {
		return
	}
	a.running = true
	a.s.wg.Add(1)
	go a.run()
}

func (a *accounting) run() {
	defer a.s.wg.Done()
	ctx, cancel := context.WithTimeout(a.s.ctx, usagePassTimeout)
	defer cancel()
	began := time.Now()
	err := a.pass(ctx, began)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.running = false
	took := time.Since(began)
	a.notBefore = time.Now().Add(min(usageRest*took, 10*time.Minute))
	if err != nil && a.s.ctx.Err() == nil {
		klog.FromContext(ctx).Error(err, "Disk usage accounting failed", "took", took)
	}
}

// totals are the sums of one pass.
type totals struct{ bytes, inodes int64 }

func (t *totals) add(u snapshots.Usage) { t.bytes += u.Size; t.inodes += u.Inodes }

// pass measures everything once.
func (a *accounting) pass(ctx context.Context, now time.Time) error {
	var images, containers totals
	committed := map[snapshotKey]snapshots.Usage{}
	active := map[snapshotKey]SnapshotUsage{}
	for _, name := range a.snapshotters() {
		sn := a.s.client.SnapshotService(name)
		err := sn.Walk(ctx, func(ctx context.Context, i snapshots.Info) error {
			key := snapshotKey{name, i.Name}
			switch i.Kind {
			case snapshots.KindCommitted:
				u, err := a.committedUsage(ctx, sn, key)
				if err != nil {
					return a.lastFigure(ctx, key, err, nil)
				}
				committed[key] = u
				images.add(u)
			case snapshots.KindActive:
				u, err := a.activeUsage(ctx, sn, i.Name)
				if err != nil {
					return a.lastFigure(ctx, key, err, active)
				}
				active[key] = SnapshotUsage{Bytes: u.Size, Inodes: u.Inodes, Timestamp: time.Now()}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("snapshotter %s: %w", name, err)
		}
	}
	for _, u := range active {
		containers.add(snapshots.Usage{Size: u.Bytes, Inodes: u.Inodes})
	}
	err := a.s.client.ContentStore().Walk(ctx, func(i content.Info) error {
		images.add(snapshots.Usage{Size: i.Size, Inodes: 1})
		return nil
	})
	if err != nil {
		return fmt.Errorf("content store: %w", err)
	}
	return a.publish(ctx, now, images, containers, committed, active)
}

// activeUsage measures a writable layer, and what its container keeps beside it.
func (a *accounting) activeUsage(ctx context.Context, sn snapshots.Snapshotter, key string) (snapshots.Usage, error) {
	u, err := LayerUsage(ctx, sn, key)
	if err != nil || a.s.opts.BesideLayer == nil {
		return u, err
	}
	beside, err := a.s.opts.BesideLayer(ctx, key)
	u.Add(beside)
	return u, err
}

// committedUsage measures an image layer, once.
func (a *accounting) committedUsage(ctx context.Context, sn snapshots.Snapshotter, key snapshotKey) (snapshots.Usage, error) {
	a.mu.Lock()
	u, ok := a.committed[key]
	a.mu.Unlock()
	if ok {
		return u, nil
	}
	return sn.Usage(ctx, key.name)
}

// publish makes the figures of a pass the current ones.
func (a *accounting) publish(ctx context.Context, now time.Time, images, containers totals, committed map[snapshotKey]snapshots.Usage, active map[snapshotKey]SnapshotUsage) error {
	imageFS, err := a.imageFS(ctx)
	if err != nil {
		return err
	}
	containerFS := a.s.opts.ContainerFSPath
	setDefault(&containerFS, imageFS)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.committed, a.active = committed, active
	a.info = FsInfo{
		Images:     FilesystemUsage{Mountpoint: imageFS, UsedBytes: uint64(images.bytes), InodesUsed: uint64(images.inodes), Timestamp: now},
		Containers: FilesystemUsage{Mountpoint: containerFS, UsedBytes: uint64(containers.bytes), InodesUsed: uint64(containers.inodes), Timestamp: now},
	}
	select {
	case <-a.first:
	default:
		close(a.first)
	}
	return nil
}
