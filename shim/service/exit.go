package service

import (
	"context"
	"time"

	"github.com/berth-run/berth/shim"
	taskAPI "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/containerd/v2/pkg/protobuf"
	"github.com/containerd/log"
)

const (
	// drainTimeout is how long after init's end other processes may still hold and use its
	// streams; what init itself wrote is read in any case.
	drainTimeout = time.Second
	// settleTimeout bounds the wait for a disk that does not take what is left of the log.
	settleTimeout = 5 * time.Second
	// unknownExit is the exit code when there is no way to learn it.
	unknownExit = 255
)

// awaitExit waits for the end of the container's init and records it.
func (s *Service) awaitExit(c *container) {
	ctx := context.WithoutCancel(s.ctx)
	code, at := int32(unknownExit), time.Time{}
	resp, err := s.TTRPCTaskService.Wait(ctx, &taskAPI.WaitRequest{ID: c.id})
	if err == nil {
		code, at = int32(resp.ExitStatus), protobuf.FromTimestamp(resp.ExitedAt)
	} else {
		log.G(ctx).WithError(err).WithField("id", c.id).Error("cannot learn the exit code")
	}
	if at.IsZero() {
		at = time.Now()
	}
	c.starting.Lock() // a Start that is under way has to be recorded first
	c.starting.Unlock()
	kills := oomKills(c.memDir, c.memV2)
	c.drain(ctx)
	if c.cfg.TTY && c.stdin != nil {
		// The task service keeps its end of a terminal's stdin open otherwise.
		if _, err := s.TTRPCTaskService.CloseIO(ctx, &taskAPI.CloseIORequest{ID: c.id, Stdin: true}); err != nil {
			log.G(ctx).WithError(err).WithField("id", c.id).Debug("cannot close the terminal's stdin")
		}
	}
	r := c.update(func(r *shim.Record) {
		if kills == 0 && c.oomHit {
			kills = 1 // the cgroup went before its counter was read
		}
		r.State, r.ExitedAt, r.ExitCode = shim.StateExited, at, code
		r.OOMKills, r.OOMKilled = kills, oomKilled(kills, code)
	})
	s.registry.publish(shim.EventExited, r)
	close(c.done)
	c.fan.close()
}

// oomKilled decides on the reason OOMKilled, see the package's comment.
func oomKilled(kills uint64, code int32) bool { return kills > 0 && code != 0 }

// drain takes the rest of the output, within bounds, and closes the streams.
func (c *container) drain(ctx context.Context) {
	if c.stdin != nil {
		c.stdin.close()
	}
	if len(c.readers) == 0 {
		return
	}
	ended := make(chan struct{})
	go func() {
		for _, r := range c.readers {
			<-r.done
		}
		if c.log != nil {
			if err := c.log.Close(); err != nil {
				log.G(ctx).WithError(err).WithField("id", c.id).Warn("cannot close the log")
			}
		}
		close(ended)
	}()
	if waitFor(ended, drainTimeout) {
		return
	}
	for _, r := range c.readers {
		r.stop()
	}
	if !waitFor(ended, settleTimeout) {
		log.G(ctx).WithField("id", c.id).Warn("the disk does not take the container's log; reporting the exit without waiting for it")
	}
}

func waitFor(ch <-chan struct{}, bound time.Duration) bool {
	timer := time.NewTimer(bound)
	defer timer.Stop()
	select {
	case <-ch:
		return true
	case <-timer.C:
		return false
	}
}
