package container

import (
	"context"
	"fmt"
	"sync"

	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/flight"
	"github.com/berth-run/berth/sandbox"
	"github.com/berth-run/berth/shim"
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

// attemptAllowed refuses to make a container while another attempt of it runs or begins to: the kubelet would look
// at the newer one only, and never end the older.
func (m *Manager) attemptAllowed(pod *sandbox.Sandbox, config *runtimeapi.ContainerConfig) error {
	m.claims.mu.Lock()
	defer m.claims.mu.Unlock()
	return m.attemptAllowedLocked(pod, config)
}

func (m *Manager) attemptAllowedLocked(pod *sandbox.Sandbox, config *runtimeapi.ContainerConfig) error {
	for _, o := range m.otherAttempts(pod.ID, config.GetMetadata().GetName(), nil) {
		if m.begins(o) && attempt(o) != config.GetMetadata().GetAttempt() {
			return precondition("%s runs as %s: stop it before attempt %d of it is made", o.Name(), o.ID, config.GetMetadata().GetAttempt())
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
func (m *Manager) startAlone(ctx context.Context, c *Container, call *flight.Call, pod *shim.Process) error {
	if err := m.retireOlder(ctx, c, pod); err != nil {
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
// be at work on one.
func (m *Manager) retireOlder(ctx context.Context, c *Container, pod *shim.Process) error {
	for _, o := range m.otherAttempts(c.Pod.ID, c.Config.GetMetadata().GetName(), c) {
		if !o.inherited || attempt(o) > attempt(c) || o.State() != runtimeapi.ContainerState_CONTAINER_CREATED {
			continue
		}
		if err := m.retire(ctx, o, pod); err != nil {
			return fmt.Errorf("take back the start of %s: %w", o.Name(), err)
		}
	}
	return nil
}

// retire makes sure that a container that was not started never is.
func (m *Manager) retire(ctx context.Context, c *Container, pod *shim.Process) error {
	done, err := c.acquire(ctx)
	if err != nil {
		return err
	}
	defer done()
	if c.State() != runtimeapi.ContainerState_CONTAINER_CREATED {
		return nil
	}
	if err := m.abandonStart(ctx, c, pod); err != nil {
		return err
	}
	if c.State() == runtimeapi.ContainerState_CONTAINER_RUNNING {
		return nil // it came through before that; the claim tells
	}
	return m.reapTask(ctx, c)
}
