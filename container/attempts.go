package container

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/internal/flight"
	"github.com/berth-run/berth/sandbox"
)

// In a pod, of containers with one name at most one runs: attempts of one container share its volumes. The
// kubelet sees to it as far as it knows. What it cannot know is what becomes of a start that it gave up, or
// that it forgot when it was restarted: it takes a container that is still in CREATED for one that will never
// run, and makes the next attempt.

// errNobodyWaits ends a start before the user's process begins: its caller has left, and may have made the
// next attempt already.
var errNobodyWaits = fmt.Errorf("every caller of StartContainer has given up, so that the process was not begun: %w", errdefs.ErrAborted)

// claims are the containers whose process is being begun, by pod and name.
type claims struct {
	mu sync.Mutex
	of map[string]*Container
}

// attemptKey is what attempts of one container have in common.
func attemptKey(c *Container) string { return c.Pod.ID + "/" + c.Config.GetMetadata().GetName() }

func attempt(c *Container) uint32 { return c.Config.GetMetadata().GetAttempt() }

// otherAttempts are the other containers of the pod that have the name.
func (m *Manager) otherAttempts(podID, name string, self *Container) []*Container {
	var out []*Container
	for _, c := range m.ofPod(podID) {
		if c != self && c.Config.GetMetadata().GetName() == name {
			out = append(out, c)
		}
	}
	return out
}

// addAllowed makes the container known, unless another attempt of it runs or begins by now.
func (m *Manager) addAllowed(c *Container) error {
	m.claims.mu.Lock()
	defer m.claims.mu.Unlock()
	if err := m.attemptAllowedLocked(c.Pod, c.Config); err != nil {
		return err
	}
	m.add(c)
	return nil
}

// attemptAllowed refuses to make a container while an older attempt of it runs or begins to: the kubelet would look
// at the newer one only, and never end the older. It refuses one that is older than another, too: the request comes
// late, and the kubelet would take what was made last for the newest.
func (m *Manager) attemptAllowed(pod *sandbox.Sandbox, config *runtimeapi.ContainerConfig) error {
	m.claims.mu.Lock()
	defer m.claims.mu.Unlock()
	return m.attemptAllowedLocked(pod, config)
}

func (m *Manager) attemptAllowedLocked(pod *sandbox.Sandbox, config *runtimeapi.ContainerConfig) error {
	n := config.GetMetadata().GetAttempt()
	for _, o := range m.otherAttempts(pod.ID, config.GetMetadata().GetName(), nil) {
		switch {
		case attempt(o) > n:
			return precondition("attempt %d exists as %s, attempt %d is not made any more", attempt(o), o.ID, n)
		case attempt(o) < n && m.begins(o):
			return precondition("%s runs as %s: stop it before attempt %d of it is made", o.Name(), o.ID, n)
		}
	}
	return nil
}

// begins reports whether the container's process runs or is being begun. m.claims.mu is held.
func (m *Manager) begins(c *Container) bool {
	return c.State() == runtimeapi.ContainerState_CONTAINER_RUNNING || m.claims.of[attemptKey(c)] == c
}

// claim reserves the name for the container's process, unless a newer attempt exists, another one runs, or
// nobody waits for the start any more. Whoever got it gives it back when the process runs or could not be begun.
func (m *Manager) claim(c *Container, call *flight.Call) (giveBack func(), err error) {
	m.claims.mu.Lock()
	defer m.claims.mu.Unlock()
	if call.Waiting() == 0 {
		return nil, errNobodyWaits
	}
	for _, o := range m.otherAttempts(c.Pod.ID, c.Config.GetMetadata().GetName(), c) {
		if attempt(o) > attempt(c) {
			return nil, precondition("attempt %d exists as %s, an older attempt is not started any more: remove it", attempt(o), o.ID)
		}
		if m.begins(o) {
			return nil, precondition("%s runs as %s: stop it first", o.Name(), o.ID)
		}
	}
	if m.claims.of == nil {
		m.claims.of = map[string]*Container{}
	}
	key := attemptKey(c)
	m.claims.of[key] = c
	return func() {
		m.claims.mu.Lock()
		defer m.claims.mu.Unlock()
		delete(m.claims.of, key)
	}, nil
}

// startAlone begins the container's process if no other attempt runs.
func (m *Manager) startAlone(ctx context.Context, c *Container, call *flight.Call) error {
	if err := m.retireOlder(ctx, c.Pod, c.Config); err != nil {
		return err
	}
	giveBack, err := m.claim(c, call)
	if err != nil {
		return err
	}
	defer giveBack()
	return m.startTask(ctx, c)
}

// retireOlder takes back starts of older attempts that a former daemon was cut off in: a shim may still
// be at work on one. It is asked before the next attempt is made, so that none of them begins to run beside it,
// or after the client has seen it in CREATED and made the next.
func (m *Manager) retireOlder(ctx context.Context, pod *sandbox.Sandbox, config *runtimeapi.ContainerConfig) error {
	meta := config.GetMetadata()
	for _, o := range m.otherAttempts(pod.ID, meta.GetName(), nil) {
		if !o.inherited || attempt(o) >= meta.GetAttempt() || o.State() != runtimeapi.ContainerState_CONTAINER_CREATED {
			continue
		}
		if err := m.retire(ctx, o); err != nil {
			return fmt.Errorf("take back the start of %s, which an earlier berthd was cut off in: %w", o.Name(), err)
		}
	}
	return nil
}

// errSuperseded is why an attempt that was never started has ended.
var errSuperseded = errors.New("berthd was restarted before the container was started, and the next attempt was made since")

// retire makes sure that a container that was not started never is.
func (m *Manager) retire(ctx context.Context, c *Container) error {
	done, err := c.acquire(ctx)
	if err != nil {
		return err
	}
	defer done()
	if c.State() != runtimeapi.ContainerState_CONTAINER_CREATED || c.isHidden() {
		return nil
	}
	if err := m.takeBack(ctx, c); err != nil {
		return err
	}
	if c.State() == runtimeapi.ContainerState_CONTAINER_CREATED {
		m.failStart(c, errSuperseded)
	}
	return nil // it may have come through before that; the claim tells
}

// takeBack removes what there is of the task of a container that a former daemon may have been cut off in
// starting. It was started when it is not in CREATED afterwards. The container's turn is held.
func (m *Manager) takeBack(ctx context.Context, c *Container) error {
	pod := c.Pod.Shim()
	patience, cancel := context.WithTimeout(ctx, initPatience)
	err := m.abandonStart(patience, c, pod)
	cancel()
	if errors.Is(err, context.DeadlineExceeded) || (pod == nil && !c.Pod.Handler.Foreign) {
		// The shim waits for an init that does not go on, or is gone: what it had not told anybody may run.
		if err := m.endInit(ctx, c); err != nil {
			return err
		}
		err = m.abandonStart(ctx, c, pod)
	}
	if err != nil {
		if c.State() != runtimeapi.ContainerState_CONTAINER_CREATED {
			return nil
		}
		return err
	}
	return m.tasks.Reap(ctx, c.ID)
}
