package imageservice

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	"k8s.io/klog/v2"
)

// leaseLabel marks the leases of this package; its value says what for.
const leaseLabel = "berth.run/image-lease"

// lease returns a context whose content and snapshots are safe from garbage
// collection until release. release(true) also runs a collection and waits for
// it, which removes what the lease held. It works when ctx has ended.
func (s *Service) lease(ctx context.Context, kind, what string) (context.Context, func(collect bool) error, error) {
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	id := "berth-" + kind + "-" + rand.Text()
	// A caller that leaves must not leave open whether there is a lease.
	cctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	l, err := s.client.LeasesService().Create(cctx,
		leases.WithID(id),
		leases.WithLabels(map[string]string{leaseLabel: kind + " " + what}),
		// The daemon may die; Recover cleans up then, and this is the net
		// under it.
		leases.WithExpiration(s.opts.PullTimeout+time.Hour),
	)
	if err != nil {
		s.dropLater(leases.Lease{ID: id}, false) // an external containerd may have made it all the same
		return nil, nil, fmt.Errorf("creating a lease: %w", err)
	}
	release := func(collect bool) error {
		rctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.RemoveTimeout)
		defer cancel()
		err := s.dropLease(rctx, l, collect)
		if err != nil {
			s.dropLater(l, collect)
		}
		return err
	}
	return leases.WithLease(ctx, l.ID), release, nil
}

func (s *Service) dropLease(ctx context.Context, l leases.Lease, collect bool) error {
	var opts []leases.DeleteOpt
	if collect {
		opts = append(opts, leases.SynchronousDelete)
	}
	err := s.client.LeasesService().Delete(ctx, l, opts...)
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("releasing lease %s: %w", l.ID, err)
	}
	return nil
}

// leaseRetry is how often the release of a lease is tried again.
const leaseRetry = time.Second

// dropLater releases a lease that could not be while containerd was away. A daemon that
// ends before leaves it to the next one.
func (s *Service) dropLater(l leases.Lease, collect bool) {
	s.wg.Go(func() {
		for {
			select {
			case <-time.After(leaseRetry):
			case <-s.ctx.Done():
				return
			}
			ctx, cancel := context.WithTimeout(s.ctx, s.opts.RemoveTimeout)
			err := s.dropLease(ctx, l, collect)
			cancel()
			if err == nil {
				return
			}
		}
	})
}

// collect runs a garbage collection and waits for it. containerd starts one with
// the synchronous deletion of a lease.
func (s *Service) collect(ctx context.Context) error {
	_, release, err := s.lease(ctx, "collect", "")
	if err != nil {
		return err
	}
	return release(true)
}

// dropStaleLeases gives back the leases of pulls that a killed daemon left.
func (s *Service) dropStaleLeases(ctx context.Context) error {
	all, err := s.client.LeasesService().List(ctx, fmt.Sprintf("labels.%q", leaseLabel))
	if err != nil {
		return fmt.Errorf("listing leases: %w", err)
	}
	for i, l := range all {
		klog.FromContext(ctx).Info("Releasing the lease of an image operation that was cut short", "lease", l.ID, "for", l.Labels[leaseLabel])
		if err := s.dropLease(ctx, l, i == len(all)-1); err != nil {
			return err
		}
	}
	return nil
}
