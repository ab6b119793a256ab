package cgroup

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/cgroups"
)

// Remove removes the cgroup and all below it in every hierarchy, all of them even
// when one fails. Processes that are left make it fail with
// errdefs.ErrFailedPrecondition; KillAll first. One that is not there is no error.
func (h *Host) Remove(ctx context.Context, paths Paths) error {
	if err := h.checkVictim(paths); err != nil {
		return err
	}
	var errs []error
	for _, dir := range paths.Dirs() {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("remove cgroup %s: %w", dir, err)
		}
		// The library retries for a second at EBUSY, which only helps when nothing is in it.
		pids, err := allPids(dir)
		if err == nil && len(pids) > 0 {
			err = fmt.Errorf("processes %v are in it: %w", pids, errdefs.ErrFailedPrecondition)
		}
		if err == nil {
			err = cgroups.RemovePath(dir)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("remove cgroup %s: %w", dir, err))
		}
	}
	return errors.Join(errs...)
}
