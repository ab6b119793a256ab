package service

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/berth-run/berth/shim/rootfs"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// creation is one that is under way, or whose bundle has not been seen off by a Delete.
type creation struct {
	bundle    string
	done      chan struct{} // closed when Create has returned
	abandoned bool          // abandon removes the bundle
}

// over reports whether Create has returned.
func (n *creation) over() bool {
	select {
	case <-n.done:
		return true
	default:
		return false
	}
}

// begin notes a creation; end says that it is over. One that failed under the eyes of its caller
// is forgotten: the caller removes the bundle.
func (s *Service) begin(id, bundle string) (end func(forget bool)) {
	n := &creation{bundle: bundle, done: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.creations[id] = n
	return func(forget bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		close(n.done)
		if forget {
			delete(s.creations, id)
		}
	}
}

// abandon takes back a creation whose caller is gone, so that the container can be created anew:
// an external containerd, whose client died, has forgotten the task while runc was still at work,
// and may have been unable to remove the bundle; the embedded one died itself. A Start that is under
// way is given up with it. A container that was started is left alone (errdefs.ErrFailedPrecondition);
// an unknown one is no error.
func (s *Service) abandon(ctx context.Context, id string) error {
	s.mu.Lock()
	n := s.creations[id]
	if n == nil {
		s.mu.Unlock()
		return nil
	}
	n.abandoned = true
	s.mu.Unlock()
	select {
	case <-n.done:
	case <-ctx.Done():
		return fmt.Errorf("container %s is still being created: %w", id, ctx.Err())
	}
	if c := s.container(id); c != nil {
		if c.giveUp() {
			return fmt.Errorf("container %s was started: %w", id, errdefs.ErrFailedPrecondition)
		}
		// runc cannot run without the directory of its log, nor can a root be unmounted that is not there.
		if err := os.MkdirAll(filepath.Join(n.bundle, "rootfs"), 0o711); err != nil {
			return fmt.Errorf("delete container %s, which was never started: %w", id, err)
		}
		if _, err := s.Delete(ctx, id); err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("delete container %s, which was never started: %w", id, err)
		}
	}
	if err := removeBundle(n.bundle); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.creations, id)
	return nil
}

// awaitCreation waits for a creation that is under way: until it is over, nobody can say that there
// is no such container (errdefs.ErrUnavailable).
func (s *Service) awaitCreation(ctx context.Context, id string) error {
	s.mu.Lock()
	n := s.creations[id]
	s.mu.Unlock()
	if n == nil {
		return nil
	}
	select {
	case <-n.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("container %s is still being created: %w: %w", id, ctx.Err(), errdefs.ErrUnavailable)
	}
}

// removeBundle removes a task's directory, and the working directory that an external containerd
// makes besides.
func removeBundle(bundle string) error {
	if err := rootfs.Detach(filepath.Join(bundle, "rootfs")); err != nil {
		return fmt.Errorf("unmount the root of bundle %s: %w", bundle, err)
	}
	if err := rootfs.Clean(filepath.Join(bundle, "rootfs")); err != nil {
		return fmt.Errorf("unmount below bundle %s: %w", bundle, err)
	}
	work, err := os.Readlink(filepath.Join(bundle, "work"))
	if err == nil {
		err = os.RemoveAll(work)
	}
	if err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("remove the working directory of bundle %s: %w", bundle, err)
	}
	// Not RemoveAll: should the root still be mounted, its files are not ours to delete.
	if err := os.Remove(filepath.Join(bundle, "rootfs")); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("remove bundle %s: %w", bundle, err)
	}
	return os.RemoveAll(bundle)
}

// giveUp ends the init of a container that was not started, so that a Start under way ends: it waits for
// init. When it returns, nothing can start the container any more. It reports whether the container was
// started before; its process has then been killed if giveUp came in the middle of that.
func (c *container) giveUp() (started bool) {
	if c.started() {
		return true
	}
	if err := c.signal(unix.SIGKILL); err != nil && !errdefs.IsNotFound(err) {
		logf("container %s: cannot end its init, which was never started: %v", c.id, err)
	}
	c.op.Lock() // Start holds it
	defer c.op.Unlock()
	return c.started()
}

// started reports whether the container's process was ever started.
func (c *container) started() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.record.StartedAt.IsZero()
}
