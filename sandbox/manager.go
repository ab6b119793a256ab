package sandbox

import (
	"context"
	"fmt"
	"sync"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/cni"
	"github.com/berth-run/berth/config"
	"github.com/berth-run/berth/engine"
	"github.com/berth-run/berth/internal/cgroup"
	"github.com/berth-run/berth/internal/failpoint"
	"github.com/berth-run/berth/internal/flight"
	"github.com/berth-run/berth/internal/handler"
	"github.com/berth-run/berth/internal/hostinfo"
	"github.com/berth-run/berth/internal/index"
	"github.com/berth-run/berth/internal/steps"
	"github.com/berth-run/berth/internal/task"
	"github.com/berth-run/berth/internal/turns"
	"github.com/berth-run/berth/internal/underway"
	"github.com/berth-run/berth/shim"
)

// Options are what a Manager works with.
type Options struct {
	Config   *config.Config
	Engine   *engine.Engine
	Network  *cni.Manager
	Handlers *handler.Set
	Cgroups  *cgroup.Host
	Host     *hostinfo.Info
	// InitBinary is the path of berth-init.
	InitBinary string
	// Observe is told about every step of every operation; may be nil.
	Observe steps.Observer
	// TaskCalls is told about calls of containerd's task service, ShimCalls about those
	// of shims' control sockets; they may be nil.
	TaskCalls task.Observer
	ShimCalls shim.Observer
	// Failpoints are hit at the boundaries of steps; nil has none.
	Failpoints *failpoint.Set
	// Changed is told about pods that were created, stopped or removed; may be nil.
	Changed func(s *Sandbox, what runtimeapi.ContainerEventType)
}

// Workloads are the containers of pods, as far as a pod's life concerns them.
type Workloads interface {
	// StopPod ends all containers of a pod and returns when they have ended.
	StopPod(ctx context.Context, podID string) error
	// RemovePod removes all containers of a pod, running or not.
	RemovePod(ctx context.Context, podID string) error
	// ShimEvent passes on what a pod's shim reports of its containers.
	ShimEvent(podID string, e shim.Event)
	// ShimLost says that the pod's shim died; its containers have no parent.
	ShimLost(podID string)
}

// Manager owns all pods of the node.
type Manager struct {
	Options
	paths  config.Paths
	client *containerd.Client
	store  store
	tasks  *task.Service

	workloads Workloads
	queue     *cni.Queue

	pods    *index.Index[*Sandbox]
	flights flight.Group
	// turns bound concurrent starts, hostTurns those of pods on the host's network: where a CNI
	// plugin hangs, the pod that repairs the network is one of these. nil is no bound.
	turns, hostTurns *turns.Turns

	portsMu sync.Mutex // held while the host ports of a new pod are compared with those of all others

	mu    sync.Mutex
	byKey map[string]*Sandbox
	alien []string // IDs of pods whose records this build cannot read

	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// New makes a manager; Recover has to be called before anything else.
func New(o Options, workloads Workloads) *Manager {
	m := &Manager{
		Options:   o,
		paths:     o.Config.Paths(),
		client:    o.Engine.Client,
		store:     store{o.Engine.Client},
		tasks:     task.New(o.Engine.Client, o.Config.Containerd.CallTimeout.Duration, o.TaskCalls),
		workloads: workloads,
		pods:      index.New("pod sandbox", oldestFirst),
		byKey:     map[string]*Sandbox{},
	}
	m.turns, m.hostTurns = turns.New(o.Config.Pod.MaxConcurrentStarts), turns.New(o.Config.Pod.MaxConcurrentStarts)
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.queue = cni.NewQueue(o.Network.Detach, cni.QueueOptions{
		MaxDelay: o.Config.CNI.DelRetryMax.Duration, Since: m.owedSince,
		GiveUpAfter: o.Config.CNI.DelGiveUp.Duration, GiveUp: m.giveUpOverdue,
	})
	m.running.Go(func() { _ = m.queue.Run(m.ctx) })
	return m
}

// Drain waits for calls under way until ctx ends; the error says which they are.
func (m *Manager) Drain(ctx context.Context) error { return m.flights.Drain(ctx) }

// Hanging are the operations that have been under way for long, from memory.
func (m *Manager) Hanging() []underway.Operation { return underway.Hanging(&m.flights) }

// Close ends what goes on in the background, and waits for it until ctx ends. Pods
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

// Get finds a pod by ID or unique prefix, also one that is being made or removed.
func (m *Manager) Get(id string) (*Sandbox, error) {
	s, err := m.pods.Get(id)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// DetachQueue is the state of the background CNI DELs.
func (m *Manager) DetachQueue() cni.QueueStats { return m.queue.Stats() }

// turn waits for the right to start a pod.
func (m *Manager) turn(ctx context.Context, s *Sandbox) (giveBack func(), err error) {
	all := m.turns
	if s.HostNetwork() {
		all = m.hostTurns
	}
	giveBack, err = all.Take(ctx)
	if err != nil {
		return nil, fmt.Errorf("wait for a turn to start the pod: %w", err)
	}
	return giveBack, nil
}

// bounded detaches ctx from its caller and gives the operation its own end.
func (m *Manager) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), m.Config.Pod.OperationTimeout.Duration)
}

func (m *Manager) changed(s *Sandbox, what runtimeapi.ContainerEventType) {
	if m.Changed != nil {
		m.Changed(s, what)
	}
}

// save writes the record as it is in memory after change.
func (m *Manager) save(ctx context.Context, s *Sandbox, change func(*Record)) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	r := s.record
	s.mu.Unlock()
	change(&r)
	if err := m.store.update(ctx, s.ID, &r); err != nil {
		return err
	}
	s.set(func() { change(&s.record) })
	return nil
}

const shimStopTimeout = 10 * time.Second
