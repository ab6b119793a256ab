package container

import (
	"context"
	"fmt"
	"sync"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sync/semaphore"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/config"
	"github.com/berth-run/berth/container/ocispec"
	"github.com/berth-run/berth/engine"
	"github.com/berth-run/berth/imageservice"
	"github.com/berth-run/berth/internal/budget"
	"github.com/berth-run/berth/internal/cgroup"
	"github.com/berth-run/berth/internal/failpoint"
	"github.com/berth-run/berth/internal/flight"
	"github.com/berth-run/berth/internal/hostinfo"
	"github.com/berth-run/berth/internal/index"
	"github.com/berth-run/berth/internal/steps"
	"github.com/berth-run/berth/internal/task"
	"github.com/berth-run/berth/internal/turns"
	"github.com/berth-run/berth/internal/underway"
	"github.com/berth-run/berth/sandbox"
)

// Options are what a Manager works with.
type Options struct {
	Config  *config.Config
	Engine  *engine.Engine
	Images  *imageservice.Service
	Cgroups *cgroup.Host
	Host    *hostinfo.Info
	// CDI injects devices; nil switches CDI off.
	CDI ocispec.CDIInjector
	// Observe is told about every step of every operation; may be nil.
	Observe steps.Observer
	// TaskCalls is told about calls of containerd's task service; may be nil.
	TaskCalls task.Observer
	// Failpoints are hit at the boundaries of steps; nil has none.
	Failpoints *failpoint.Set
	// Changed is told about containers that were created, started, stopped or
	// deleted; may be nil. It is called in the order of the changes of a container.
	Changed func(c *Container, what runtimeapi.ContainerEventType)
	// Forgotten is told that a container and its writable layer are gone; may be nil.
	Forgotten func(c *Container)
}

// Manager owns all containers of the node.
type Manager struct {
	Options
	pods   *sandbox.Manager
	paths  config.Paths
	client *containerd.Client
	store  store
	tasks  *task.Service

	all     *index.Index[*Container]
	flights flight.Group
	// background is what goes on without a call; who drains does not wait for it.
	background flight.Group
	turns      *turns.Turns // of those that create or start a container
	users      userCache
	// largeUsers are those that read files of users too large for the cache.
	largeUsers *semaphore.Weighted
	claims     claims
	primer     *cgroup.Primer
	outputs    *outputRoom // of all ExecSync calls

	mu    sync.Mutex
	byKey map[string]*Container
	byPod map[string]map[string]*Container

	began   time.Time
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// New makes a manager. Pods and containers know each other: SetPods completes it.
func New(o Options) *Manager {
	m := &Manager{
		Options: o,
		paths:   o.Config.Paths(),
		client:  o.Engine.Client,
		store:   store{o.Engine.Client},
		tasks:   task.New(o.Engine.Client, o.Config.Containerd.CallTimeout.Duration, o.TaskCalls),
		all:     index.New("container", oldestFirst),
		byKey:   map[string]*Container{},
		byPod:   map[string]map[string]*Container{},
		began:   time.Now(),
		primer:  o.Cgroups.NewPrimer(),
		turns:   turns.New(o.Config.Container.MaxConcurrentStarts),
		outputs: newOutputRoom(budget.ExecOutputs),

		largeUsers: semaphore.NewWeighted(budget.UserFilesScanned),
	}
	o.Images.OnGone(m.users.drop)
	m.ctx, m.cancel = context.WithCancel(context.Background())
	return m
}

// SetPods gives the manager its pods; to be called once, before anything else.
func (m *Manager) SetPods(pods *sandbox.Manager) { m.pods = pods }

// Drain waits for calls under way until ctx ends; the error says which they are.
func (m *Manager) Drain(ctx context.Context) error { return m.flights.Drain(ctx) }

// Hanging are the operations that have been under way for long, from memory.
func (m *Manager) Hanging() []underway.Operation { return underway.Hanging(&m.flights, &m.background) }

// Close ends what goes on in the background, and waits for it until ctx ends. Containers
// go on running. Drain first: calls under way need it.
func (m *Manager) Close(ctx context.Context) error {
	m.cancel()
	ended := make(chan struct{})
	go func() { m.running.Wait(); close(ended) }()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("work in the background has not ended: %w", ctx.Err())
	}
}

// Get finds a container by ID or unique prefix.
func (m *Manager) Get(id string) (*Container, error) { return m.all.Get(id) }

// ofPod are the containers of a pod, in no order.
func (m *Manager) ofPod(podID string) []*Container {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]*Container, 0, len(m.byPod[podID]))
	for _, c := range m.byPod[podID] {
		out = append(out, c)
	}
	return out
}

// key identifies the request for a container among retries.
func key(podID string, meta *runtimeapi.ContainerMetadata) string {
	return fmt.Sprintf("%s/%s/%d", podID, meta.GetName(), meta.GetAttempt())
}

func (m *Manager) add(c *Container) {
	m.mu.Lock()
	m.byKey[key(c.Pod.ID, c.Config.GetMetadata())] = c
	if m.byPod[c.Pod.ID] == nil {
		m.byPod[c.Pod.ID] = map[string]*Container{}
	}
	m.byPod[c.Pod.ID][c.ID] = c
	m.mu.Unlock()
	m.all.Put(c.ID, c)
}

func (m *Manager) forget(c *Container) {
	m.mu.Lock()
	if k := key(c.Pod.ID, c.Config.GetMetadata()); m.byKey[k] == c {
		delete(m.byKey, k)
	}
	delete(m.byPod[c.Pod.ID], c.ID)
	if len(m.byPod[c.Pod.ID]) == 0 {
		delete(m.byPod, c.Pod.ID)
	}
	m.mu.Unlock()
	m.all.Delete(c.ID)
	if m.Forgotten != nil {
		m.Forgotten(c)
	}
}

// acquire takes the container's turn; release gives it back.
func (c *Container) acquire(ctx context.Context) (release func(), err error) {
	select {
	case c.turn <- struct{}{}:
		return func() { <-c.turn }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%s: another operation has not ended: %w", c.Name(), ctx.Err())
	}
}

// bounded detaches ctx from its caller and gives the operation its own end.
func (m *Manager) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), m.Config.Pod.OperationTimeout.Duration)
}

// turn waits for the right to create or start a container.
func (m *Manager) turn(ctx context.Context, call *flight.Call) (giveBack func(), err error) {
	call.SetStage("waiting for a turn")
	giveBack, err = m.turns.Take(ctx)
	if err != nil {
		return nil, fmt.Errorf("wait for a turn to start the container: %w", err)
	}
	return giveBack, nil
}

// save writes the record as it is in memory after change, and with it the OCI spec
// when that is not nil.
func (m *Manager) save(ctx context.Context, c *Container, spec *specs.Spec, change func(*Record)) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.mu.RLock()
	r := c.record
	c.mu.RUnlock()
	change(&r)
	if err := m.store.update(ctx, c.ID, &r, spec); err != nil {
		return err
	}
	c.set(func() { change(&c.record) })
	return nil
}

// transition changes the container's state and announces it, if change says that
// there is something to announce. Transitions of a container come one by one, so
// that events are in the order of what happened.
func (m *Manager) transition(c *Container, what runtimeapi.ContainerEventType, change func() bool) bool {
	c.announcing.Lock()
	defer c.announcing.Unlock()
	announce := false
	c.set(func() { announce = change() })
	if announce && m.Changed != nil {
		m.Changed(c, what)
	}
	return announce
}

// announce tells about a change that has been made.
func (m *Manager) announce(c *Container, what runtimeapi.ContainerEventType) {
	m.transition(c, what, func() bool { return true })
}

func precondition(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, errdefs.ErrFailedPrecondition)...)
}
