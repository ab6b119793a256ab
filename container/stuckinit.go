package container

import (
	"context"
	"fmt"
	"sync"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/klog/v2"
)

// A start waits for the container's init, the process of the OCI runtime that becomes the user's program. An
// init that cannot go on, and does not end either, would be waited for until the shim's own limit: a seccomp
// profile with SCMP_ACT_KILL ends only the thread that makes a forbidden system call, and the others of the
// runtime, which is written in Go, live on. It is ended here, by the container's cgroup, which holds it before
// anybody knows its PID. Whoever waits for the init then sees its end.

const (
	// initPatience is how long a start is left alone before its init is looked at, or before whoever stops the
	// container ends it. A start takes a tenth of a second.
	initPatience = 2 * time.Second
	// initLook is how often the init is looked at then.
	initLook = time.Second
	// endInitTimeout bounds the wait for an init that was sent SIGKILL.
	endInitTimeout = 5 * time.Second
)

// endInit ends what there is of a container that does not run yet.
func (m *Manager) endInit(ctx context.Context, c *Container) error {
	ctx, cancel := context.WithTimeout(ctx, endInitTimeout)
	defer cancel()
	paths := m.Cgroups.Resolve(c.CgroupsPath)
	m.Cgroups.Thaw(paths)
	return m.Cgroups.KillAll(ctx, paths)
}

// acquireFromStart takes the container's turn for whoever wants to end it. A start that does not come to its
// end is not waited for: its init is ended.
func (m *Manager) acquireFromStart(ctx context.Context, c *Container) (release func(), err error) {
	for {
		patience, cancel := context.WithTimeout(ctx, initPatience)
		release, err = c.acquire(patience)
		cancel()
		if err == nil || ctx.Err() != nil {
			return release, err
		}
		if c.State() != runtimeapi.ContainerState_CONTAINER_CREATED {
			continue
		}
		if err := m.endInit(ctx, c); err != nil {
			klog.FromContext(ctx).Error(err, "Cannot end the start of a container that is to be stopped", "id", c.ID)
		}
	}
}

// initWatch looks whether the init of a start can go on.
type initWatch struct {
	timer *time.Timer
	over  chan struct{}
	mu    sync.Mutex
	cause error
}

// watchInit looks after the init of a start that takes long. The caller ends that with stop.
func (m *Manager) watchInit(c *Container) *initWatch {
	w := &initWatch{over: make(chan struct{})}
	w.timer = time.AfterFunc(initPatience, func() {
		again := time.NewTicker(initLook)
		defer again.Stop()
		for dead := 0; ; {
			if dead = inARow(dead, m.initDead(c)); dead > 1 {
				w.set(errInitKilled(c))
				if err := m.endInit(m.ctx, c); err != nil {
					klog.FromContext(m.ctx).Error(err, "Cannot end the init of a container, which is dead but for other threads of it", "id", c.ID)
				}
			}
			select {
			case <-again.C:
			case <-w.over:
				return
			}
		}
	})
	return w
}

// stop ends the watch. It returns why the init was ended, nil when it was not.
func (w *initWatch) stop() error {
	w.timer.Stop()
	close(w.over)
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cause
}

func (w *initWatch) set(cause error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cause = cause
}

// inARow counts how often in a row something was seen.
func inARow(n int, seen bool) int {
	if seen {
		return n + 1
	}
	return 0
}

// initDead reports whether there are processes in the container's cgroup, and the main thread of each is dead.
func (m *Manager) initDead(c *Container) bool {
	pids, err := m.Cgroups.PIDs(m.Cgroups.Resolve(c.CgroupsPath))
	for _, pid := range pids {
		if !processEnded(pid) {
			return false
		}
	}
	return err == nil && len(pids) > 0
}

// errInitKilled says why an init may be dead that has not ended.
func errInitKilled(c *Container) error {
	profile := "a seccomp profile"
	if ref := c.Config.GetLinux().GetSecurityContext().GetSeccomp().GetLocalhostRef(); ref != "" {
		profile = "the seccomp profile " + ref
	}
	return precondition("the main thread of the container's first process was ended before the program began, as the kernel does when %s "+
		"has SCMP_ACT_KILL for a system call that the OCI runtime needs: allow the call, or use SCMP_ACT_ERRNO", profile)
}

// whyNot adds to the error of a start why its init was ended.
func whyNot(err, cause error) error {
	if err == nil || cause == nil {
		return err
	}
	return fmt.Errorf("%w (%v)", cause, err)
}
