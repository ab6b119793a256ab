package service

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/berth-run/berth/shim"
	taskAPI "github.com/containerd/containerd/api/runtime/task/v3"
	tasktypes "github.com/containerd/containerd/api/types/task"
	ptypes "github.com/containerd/containerd/v2/pkg/protobuf/types"
	"github.com/containerd/containerd/v2/pkg/shutdown"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/log"
	"github.com/containerd/ttrpc"
)

// runtimeTimeout bounds one run of the OCI runtime. A caller that gives up or dies does not break
// it off: runc create stopped midway leaves half a container behind.
const runtimeTimeout = 2 * time.Minute

// Service is containerd's task service for runc with Berth's logs, records and attach around it.
// Methods that are not overridden here go straight to it.
type Service struct {
	taskAPI.TTRPCTaskService

	ctx      context.Context
	registry *registry
	monitor  *monitor
	bufs     *bufPool
	shutdown shutdown.Service
	// pinned shims outlive their last container: they end by the control socket only.
	pinned bool

	mu         sync.Mutex
	containers map[string]*container // nil while the container is being created
	creations  map[string]*creation
}

// newService wraps inner. ctx carries containerd's namespace.
func newService(ctx context.Context, inner taskAPI.TTRPCTaskService, m *monitor, sd shutdown.Service, pinned bool) *Service {
	return &Service{
		TTRPCTaskService: inner, ctx: ctx, registry: newRegistry(), monitor: m, bufs: newBufPool(),
		shutdown: sd, pinned: pinned, containers: make(map[string]*container),
		creations: make(map[string]*creation),
	}
}

// RegisterTTRPC makes the server serve the Task API.
func (s *Service) RegisterTTRPC(server *ttrpc.Server) error {
	taskAPI.RegisterTTRPCTaskService(server, s)
	return nil
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

// Create implements the Task API: runc create, with the streams that the stdout URI asks for.
func (s *Service) Create(ctx context.Context, r *taskAPI.CreateTaskRequest) (*taskAPI.CreateTaskResponse, error) {
	cfg, own, err := shim.ParseIOConfig(r.Stdout)
	if err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	c := &container{id: r.ID, cfg: cfg, own: own, done: make(chan struct{})}
	if err := s.reserve(c.id); err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	end := s.begin(c.id, r.Bundle)
	resp, err := s.create(ctx, c, r)
	defer func() { end(err != nil && ctx.Err() == nil) }()
	if err != nil {
		s.remove(c)
		return nil, errgrpc.ToGRPC(err)
	}
	rec := c.created(int(resp.Pid))
	s.add(c)
	s.registry.publish(shim.EventCreated, rec)
	go s.awaitExit(c)
	return resp, nil
}

func (s *Service) create(ctx context.Context, c *container, r *taskAPI.CreateTaskRequest) (*taskAPI.CreateTaskResponse, error) {
	ctx, cancel := detach(ctx)
	defer cancel()
	if !c.own {
		return s.TTRPCTaskService.Create(ctx, r)
	}
	p, err := c.plumb(s.monitor, r)
	if err != nil {
		c.abandon(&p)
		return nil, err
	}
	resp, err := s.TTRPCTaskService.Create(ctx, r)
	taken := s.monitor.forget(c.id)
	p.theirs.close()
	if err != nil {
		c.abandon(&p)
		return nil, err
	}
	if !c.cfg.TTY && !taken {
		err = fmt.Errorf("container %s: the runtime was started without the container's streams: %w", c.id, errdefs.ErrInternal)
	} else {
		err = c.connect(&p, s.bufs)
	}
	if err != nil {
		c.abandon(&p)
		if _, derr := s.TTRPCTaskService.Delete(ctx, &taskAPI.DeleteRequest{ID: c.id}); derr != nil {
			log.G(ctx).WithError(derr).WithField("id", c.id).Error("cannot delete a container that could not be connected")
		}
		return nil, err
	}
	return resp, nil
}

// Start implements the Task API.
func (s *Service) Start(ctx context.Context, r *taskAPI.StartRequest) (*taskAPI.StartResponse, error) {
	ctx, cancel := detach(ctx)
	defer cancel()
	c := s.container(r.ID)
	if r.ExecID != "" || c == nil {
		return s.TTRPCTaskService.Start(ctx, r)
	}
	c.starting.Lock()
	defer c.starting.Unlock()
	resp, err := s.TTRPCTaskService.Start(ctx, r)
	if err != nil {
		return nil, err
	}
	rec := c.update(func(r *shim.Record) { r.State, r.StartedAt = shim.StateRunning, time.Now() })
	s.registry.publish(shim.EventStarted, rec)
	return resp, nil
}

// Wait implements the Task API: it returns once the exit is recorded.
func (s *Service) Wait(ctx context.Context, r *taskAPI.WaitRequest) (*taskAPI.WaitResponse, error) {
	c := s.container(r.ID)
	resp, err := s.TTRPCTaskService.Wait(ctx, r)
	if err != nil || r.ExecID != "" || c == nil {
		return resp, err
	}
	select {
	case <-c.done:
		return resp, nil
	case <-ctx.Done():
		return nil, errgrpc.ToGRPC(ctx.Err())
	}
}

// Delete implements the Task API. The exit is recorded, with its OOM count, before the cgroup goes.
func (s *Service) Delete(ctx context.Context, r *taskAPI.DeleteRequest) (*taskAPI.DeleteResponse, error) {
	ctx, cancel := detach(ctx)
	defer cancel()
	c := s.container(r.ID)
	if r.ExecID != "" || c == nil {
		return s.TTRPCTaskService.Delete(ctx, r)
	}
	if st, err := s.TTRPCTaskService.State(ctx, &taskAPI.StateRequest{ID: r.ID}); err == nil && st.Status == tasktypes.Status_STOPPED {
		waitFor(c.done, drainTimeout+2*settleTimeout)
	}
	resp, err := s.TTRPCTaskService.Delete(ctx, r)
	if err != nil {
		return nil, err
	}
	// A container that was never started ends by being deleted.
	waitFor(c.done, drainTimeout+2*settleTimeout)
	s.registry.publish(shim.EventDeleted, c.update(func(r *shim.Record) { r.Deleted = true }))
	s.remove(c)
	return resp, nil
}

// Exec implements the Task API.
func (s *Service) Exec(ctx context.Context, r *taskAPI.ExecProcessRequest) (*ptypes.Empty, error) {
	ctx, cancel := detach(ctx)
	defer cancel()
	return s.TTRPCTaskService.Exec(ctx, r)
}

// Kill implements the Task API.
func (s *Service) Kill(ctx context.Context, r *taskAPI.KillRequest) (*ptypes.Empty, error) {
	ctx, cancel := detach(ctx)
	defer cancel()
	return s.TTRPCTaskService.Kill(ctx, r)
}

// Update implements the Task API.
func (s *Service) Update(ctx context.Context, r *taskAPI.UpdateTaskRequest) (*ptypes.Empty, error) {
	ctx, cancel := detach(ctx)
	defer cancel()
	return s.TTRPCTaskService.Update(ctx, r)
}

// CloseIO implements the Task API.
func (s *Service) CloseIO(ctx context.Context, r *taskAPI.CloseIORequest) (*ptypes.Empty, error) {
	c := s.container(r.ID)
	if r.ExecID != "" || c == nil || !c.own {
		return s.TTRPCTaskService.CloseIO(ctx, r)
	}
	if c.stdin != nil && !c.cfg.TTY {
		if err := c.stdin.finish(settleTimeout); err != nil {
			return nil, errgrpc.ToGRPC(err)
		}
	}
	return &ptypes.Empty{}, nil
}

// Shutdown implements the Task API. containerd calls it after each task it deletes; a pod's shim
// stays for the next container.
func (s *Service) Shutdown(ctx context.Context, r *taskAPI.ShutdownRequest) (*ptypes.Empty, error) {
	if s.pinned {
		return &ptypes.Empty{}, nil
	}
	return s.TTRPCTaskService.Shutdown(ctx, r)
}
