package imageservice

import (
	"context"
	"fmt"
	"sync"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"golang.org/x/sync/errgroup"
	"k8s.io/klog/v2"
)

// Recover builds the index from containerd's image store, gives back leases of
// pulls that a killed daemon left, and starts following image events until
// Close. It is called once, before any other method.
func (s *Service) Recover(ctx context.Context) error {
	ctx = s.withNamespace(ctx)
	if err := s.dropStaleLeases(ctx); err != nil {
		return fmt.Errorf("recovering images: %w", err)
	}
	f := &follower{s: s}
	if err := f.start(ctx); err != nil {
		return fmt.Errorf("recovering images: following events: %w", err)
	}
	if err := s.rescan(ctx); err != nil {
		return fmt.Errorf("recovering images: %w", err)
	}
	s.usage.refresh()
	return nil
}

// rescan makes the index what the image store is now.
func (s *Service) rescan(ctx context.Context) error {
	s.writes.Lock()
	defer s.writes.Unlock()
	all, err := s.client.ImageService().List(ctx)
	if err != nil {
		return fmt.Errorf("listing images: %w", err)
	}
	var mu sync.Mutex
	records := make(map[string]record, len(all))
	var g errgroup.Group
	g.SetLimit(8)
	for _, img := range all {
		g.Go(func() error {
			if r, ok := s.load(ctx, img); ok {
				mu.Lock()
				defer mu.Unlock()
				records[img.Name] = r
			}
			return nil
		})
	}
	_ = g.Wait()
	s.idx.replace(records)
	return nil
}

// load reads what is behind an image record. A record whose content is missing,
// malformed or for another platform is no image of this node: it is left out and
// does not stand in the way of the others.
func (s *Service) load(ctx context.Context, img images.Image) (record, bool) {
	r := record{pinned: isPinned(img.Labels), target: s.idx.targetOf(img.Target.Digest.String())}
	if r.target != nil {
		return r, true
	}
	t, err := s.loadTarget(ctx, img.Target)
	if err != nil {
		klog.FromContext(ctx).V(2).Info("Image record without a usable image", "image", img.Name, "target", img.Target.Digest, "err", err)
		return record{}, false
	}
	r.target = t
	return r, true
}

// refreshName makes the index agree with the store about one record.
func (s *Service) refreshName(ctx context.Context, name string) error {
	s.writes.Lock()
	defer s.writes.Unlock()
	img, err := s.client.ImageService().Get(ctx, name)
	if errdefs.IsNotFound(err) {
		s.idx.set(nil, []string{name})
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading image record %q: %w", name, err)
	}
	if r, ok := s.load(ctx, img); ok {
		s.idx.set(map[string]record{name: r}, nil)
	} else {
		s.idx.set(nil, []string{name})
	}
	return nil
}
