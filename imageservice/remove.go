package imageservice

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
)

// Remove removes the image ref leads to with all its references (CRI
// RemoveImage), and the disk space is free when it returns. An image that is not
// there is success. Containers that use the image keep their snapshots, because
// their records hold them. A caller that leaves does not stop the removal.
func (s *Service) Remove(ctx context.Context, ref string) error {
	img, err := s.idx.find(ref)
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("removing image %q: %w", ref, err)
	}
	rctx, cancel := context.WithTimeout(context.WithoutCancel(s.withNamespace(ctx)), s.opts.RemoveTimeout)
	done := make(chan error, 1)
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		defer cancel()
		done <- s.remove(rctx, img.ID)
	}()
	select {
	case err = <-done:
	case <-ctx.Done():
		err = fmt.Errorf("still under way: it goes on: %w", ctx.Err())
	}
	if err != nil {
		return fmt.Errorf("removing image %q: %w", ref, err)
	}
	return nil
}

func (s *Service) remove(ctx context.Context, id string) error {
	if err := s.reached(ctx, removeBegun); err != nil {
		return err
	}
	if err := s.removeRecords(ctx, id); err != nil {
		return err
	}
	if err := s.reached(ctx, removeUnreferenced); err != nil {
		return err
	}
	if err := s.collect(ctx); err != nil {
		return err
	}
	return s.reached(ctx, removeCollected)
}

// removeRecords deletes every record of an image. The last one is deleted last,
// so a failure in between leaves an image that can be removed again.
func (s *Service) removeRecords(ctx context.Context, id string) error {
	s.writes.Lock()
	defer s.writes.Unlock()
	img, err := s.idx.find(id)
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, name := range img.Names {
		err := s.client.ImageService().Delete(ctx, name)
		if err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("deleting image record %q: %w", name, err)
		}
		s.idx.set(nil, []string{name})
		if err := s.reached(ctx, removeRecorded); err != nil {
			return err
		}
	}
	return nil
}
