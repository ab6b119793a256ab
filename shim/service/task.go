package service

import (
	"context"
	"fmt"
	"time"

	"github.com/berth-run/berth/shim/api"
	"github.com/berth-run/berth/shim/taskapi"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Start starts a created container's process.
func (s *Service) Start(ctx context.Context, id string) (int, error) {
	ctx, cancel := detach(ctx)
	defer cancel()
	c, err := s.need(id)
	if err != nil {
		return 0, err
	}
	c.op.Lock()
	defer c.op.Unlock()
	c.starting.Lock()
	defer c.starting.Unlock()
	if st := c.status(); st != taskapi.Created {
		return 0, fmt.Errorf("container %s: only a created task can be started: %w", id, errdefs.ErrFailedPrecondition)
	}
	if err := c.runtime.Start(ctx, c.dead); err != nil {
		return 0, err
	}
	c.setPhase(taskapi.Running)
	at := time.Now()
	if _, ended := c.exitStatus(); !ended.IsZero() && ended.Before(at) {
		at = ended // a short process: it has not started after its end
	}
	rec := c.update(func(r *api.Record) { r.State, r.StartedAt = api.StateRunning, at })
	s.registry.publish(api.EventStarted, rec)
	s.events.publish(taskapi.TaskStart(id, c.pid))
	return c.pid, nil
}

// Delete removes a task that has ended, or was never started, and returns how it ended.
func (s *Service) Delete(ctx context.Context, id string) (*container, error) {
	if err := s.awaitCreation(ctx, id); err != nil {
		return nil, err
	}
	ctx, cancel := detach(ctx)
	defer cancel()
	c, err := s.need(id)
	if err != nil {
		return nil, err
	}
	c.op.Lock()
	defer c.op.Unlock()
	if s.container(id) != c {
		return nil, fmt.Errorf("no task of container %q here: %w", id, errdefs.ErrNotFound)
	}
	switch c.status() {
	case taskapi.Running, taskapi.Paused:
		return nil, fmt.Errorf("container %s runs: its task cannot be deleted: %w", id, errdefs.ErrFailedPrecondition)
	case taskapi.Created:
		c.signal(unix.SIGKILL)
		<-c.dead
	}
	// The exit is recorded, with its OOM count, before the cgroup goes.
	waitFor(c.done, drainTimeout+2*settleTimeout)
	if err := c.dismantle(ctx); err != nil {
		return nil, err
	}
	s.registry.publish(api.EventDeleted, c.update(func(r *api.Record) { r.Deleted = true }))
	s.remove(c)
	code, at := c.exitStatus()
	s.events.publish(taskapi.TaskDelete(id, c.pid, code, at))
	return c, nil
}

// Kill sends a signal to init, or to every process of the container.
func (s *Service) Kill(id string, sig unix.Signal, all bool) error {
	c, err := s.need(id)
	if err != nil {
		return err
	}
	if all {
		return c.group.Signal(sig)
	}
	if c.status() == taskapi.Stopped {
		return fmt.Errorf("process already finished: %w", errdefs.ErrNotFound)
	}
	return c.signal(sig)
}

// Pause freezes the container.
func (s *Service) Pause(ctx context.Context, id string) error {
	return s.freeze(ctx, id, taskapi.Running, taskapi.Paused)
}

// Resume thaws the container.
func (s *Service) Resume(ctx context.Context, id string) error {
	return s.freeze(ctx, id, taskapi.Paused, taskapi.Running)
}

func (s *Service) freeze(ctx context.Context, id string, from, to taskapi.Status) error {
	ctx, cancel := detach(ctx)
	defer cancel()
	c, err := s.need(id)
	if err != nil {
		return err
	}
	c.op.Lock()
	defer c.op.Unlock()
	if c.status() != from {
		return fmt.Errorf("container %s can be neither paused nor resumed in its state: %w", id, errdefs.ErrFailedPrecondition)
	}
	run, event := c.runtime.Pause, taskapi.TaskPaused(id)
	if to == taskapi.Running {
		run, event = c.runtime.Resume, taskapi.TaskResumed(id)
	}
	if err := run(ctx); err != nil {
		return err
	}
	c.setPhase(to)
	s.events.publish(event)
	return nil
}

// Update changes the container's resources.
func (s *Service) Update(ctx context.Context, id string, resources []byte) error {
	ctx, cancel := detach(ctx)
	defer cancel()
	c, err := s.need(id)
	if err != nil {
		return err
	}
	c.op.Lock()
	defer c.op.Unlock()
	if c.status() == taskapi.Stopped {
		return fmt.Errorf("container %s has ended: %w", id, errdefs.ErrFailedPrecondition)
	}
	return c.runtime.Update(ctx, resources)
}

// Wait returns once the exit is recorded.
func (s *Service) Wait(ctx context.Context, id string) (code uint32, at time.Time, err error) {
	c, err := s.need(id)
	if err != nil {
		return 0, at, err
	}
	select {
	case <-c.done:
		code, at = c.exitStatus()
		return code, at, nil
	case <-ctx.Done():
		return 0, at, ctx.Err()
	}
}

// CloseStdin closes the container's stdin for good.
func (s *Service) CloseStdin(id string) error {
	c, err := s.need(id)
	if err != nil {
		return err
	}
	c.closeForeignStdin()
	if c.stdin != nil && !c.cfg.TTY {
		return c.stdin.finish(settleTimeout)
	}
	return nil
}

// Shutdown ends a shim that is not pinned once it serves nothing. containerd's task manager calls it
// after each task it deletes; a pod's shim stays for the next container.
func (s *Service) Shutdown() {
	s.mu.Lock()
	idle := len(s.containers) == 0
	s.mu.Unlock()
	if idle && !s.pinned {
		s.shutdown()
	}
}
