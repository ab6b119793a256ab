package service

import (
	"time"

	"github.com/berth-run/berth/shim/api"
	"github.com/berth-run/berth/shim/taskapi"
)

const (
	// drainTimeout is how long after init's end other processes may still hold and use its
	// streams; what init itself wrote is read in any case.
	drainTimeout = time.Second
	// settleTimeout bounds the wait for a disk that does not take what is left of the log.
	settleTimeout = 5 * time.Second
)

// awaitExit waits for the end of the container's init and records it.
func (s *Service) awaitExit(c *container) {
	e := <-c.exited
	c.mu.Lock()
	c.exit = e
	c.mu.Unlock()
	close(c.dead)
	if c.shared {
		if err := c.group.Kill(); err != nil {
			logf("container %s: cannot end what its init has left behind: %v", c.id, err)
		}
	}
	c.starting.Lock() // a Start that is under way has to be recorded first
	c.starting.Unlock()
	kills := c.group.OOMKills()
	c.drain()
	c.awaitExecs()
	r := c.update(func(r *api.Record) {
		r.State, r.ExitedAt, r.ExitCode = api.StateExited, e.At, int32(e.Code)
		r.OOMKills, r.OOMKilled = kills, oomKilled(kills, int32(e.Code))
	})
	s.registry.publish(api.EventExited, r)
	if kills > 0 {
		s.events.publish(taskapi.TaskOOM(c.id))
	}
	s.events.publish(taskapi.TaskExit(taskapi.Process{ID: c.id, ExecID: c.id}, c.pid, uint32(e.Code), e.At))
	close(c.done)
	c.fan.close()
}

// awaitExecs lets the ends of the container's execs, which have been killed with it, be reported
// before its own.
func (c *container) awaitExecs() {
	timer := time.NewTimer(settleTimeout)
	defer timer.Stop()
	for _, e := range c.runningExecs() {
		select {
		case <-e.done:
		case <-timer.C:
			return
		}
	}
}

// oomKilled decides on the reason OOMKilled, see the package's comment.
func oomKilled(kills uint64, code int32) bool { return kills > 0 && code != 0 }

// drain takes the rest of the output, within bounds, and closes the streams.
func (c *container) drain() {
	if c.stdin != nil {
		c.stdin.close()
	}
	if c.console != nil && c.own {
		defer c.console.Close()
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
				logf("container %s: cannot close the log: %v", c.id, err)
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
		logf("container %s: the disk does not take its log; reporting the exit without waiting for it", c.id)
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
