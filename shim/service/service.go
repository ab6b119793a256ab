package service

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/berth-run/berth/shim/reap"
	"github.com/containerd/errdefs"
)

// runtimeTimeout bounds one run of the OCI runtime. A caller that gives up or dies does not break
// it off: runc create stopped midway leaves half a container behind.
const runtimeTimeout = 2 * time.Minute

// Service serves the Task API for the containers of one pod.
type Service struct {
	ctx       context.Context
	namespace string
	registry  *registry
	reaper    *reap.Reaper
	bufs      *bufPool
	events    *publisher
	// shutdown ends the shim. pinned shims outlive their last container: they end by the control
	// socket only.
	shutdown func()
	pinned   bool

	mu         sync.Mutex
	containers map[string]*container // nil while the container is being created
	creations  map[string]*creation
}

func newService(ctx context.Context, o Options, events *publisher, shutdown func()) *Service {
	return &Service{
		ctx: ctx, namespace: o.Namespace, registry: newRegistry(), reaper: reap.New(), bufs: newBufPool(),
		events: events, shutdown: shutdown, pinned: o.PodID != "",
		containers: make(map[string]*container), creations: make(map[string]*creation),
	}
}

// detach frees a call of the OCI runtime from its caller's fate.
func detach(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), runtimeTimeout)
}

func (s *Service) container(id string) *container {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.containers[id]
}

// need is the container of a call that cannot do without.
func (s *Service) need(id string) (*container, error) {
	if c := s.container(id); c != nil {
		return c, nil
	}
	return nil, fmt.Errorf("no task of container %q here: %w", id, errdefs.ErrNotFound)
}

// reserve takes the ID for a new container.
func (s *Service) reserve(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.containers[id]; ok {
		return fmt.Errorf("container %s has a task already: %w", id, errdefs.ErrAlreadyExists)
	}
	s.containers[id] = nil
	return nil
}

func (s *Service) add(c *container) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.containers[c.id] = c
}

func (s *Service) remove(c *container) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.containers, c.id)
	if n := s.creations[c.id]; n != nil && n.over() {
		delete(s.creations, c.id) // containerd saw the task off, and removes the bundle
	}
}
