package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"

	"github.com/berth-run/berth/shim"
)

// shimOOMScoreAdj keeps the kernel from killing the process that would report
// the OOM kill.
const shimOOMScoreAdj = -998

// rewatchDelay is the pause before following a shim again that cut us off.
const rewatchDelay = 200 * time.Millisecond

// startShim starts the pod's shim, or takes up the one that runs. Foreign shims
// are started by containerd with their first task.
func (m *Manager) startShim(ctx context.Context, s *Sandbox) error {
	if s.Handler.Foreign {
		return nil
	}
	p, err := shim.Launch(ctx, shim.LaunchSpec{
		Binary:            s.Handler.Shim,
		PodID:             s.ID,
		StateDir:          m.paths.State,
		ContainerdAddress: m.Engine.Address,
		TTRPCAddress:      m.Engine.TTRPCAddress,
		OOMScoreAdj:       shimOOMScoreAdj,
	})
	if err != nil {
		return fmt.Errorf("start the pod's shim: %w", err)
	}
	m.adopt(s, p)
	return nil
}

// EnsureShim returns the pod's shim for a new container, a fresh one when the
// former died. Foreign handlers have none: nil.
func (m *Manager) EnsureShim(ctx context.Context, s *Sandbox) (*shim.Process, error) {
	if s.Handler.Foreign {
		return nil, nil
	}
	if p := s.Shim(); m.serves(p) {
		return p, nil
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	p := s.Shim()
	if m.serves(p) {
		return p, nil
	}
	switch {
	case p == nil:
	case p.Alive():
		if err := m.endUnreachable(ctx, s, p); err != nil {
			return nil, err
		}
	default:
		m.shimLost(s, p) // its follower has not noticed yet, and leaves when there is another
	}
	if !s.Ready() {
		return nil, fmt.Errorf("pod sandbox %s is not ready: %w", s.ID, errdefs.ErrFailedPrecondition)
	}
	if err := m.startShim(ctx, s); err != nil {
		return nil, err
	}
	return s.Shim(), nil
}

// adopt takes a shim as the pod's and follows it.
func (m *Manager) adopt(s *Sandbox, p *shim.Process) {
	p.Observe(m.ShimCalls)
	s.set(func() { s.shim = p })
	m.running.Go(func() { m.follow(s, p) })
}

// follow passes on what the shim reports, until the daemon ends, the shim dies,
// or the pod has another one. Every new watch begins with the present state, so
// nothing is missed in between.
func (m *Manager) follow(s *Sandbox, p *shim.Process) {
	log := klog.FromContext(m.ctx)
	for unreachable := 0; ; {
		err := p.Client().Watch(m.ctx, func(e shim.Event) error {
			m.shimEvent(s, e)
			return nil
		})
		switch {
		case m.ctx.Err() != nil || s.Shim() != p:
			return
		case !p.Alive():
			m.shimLost(s, p)
			return
		}
		if unreachable = count(unreachable, err); unreachable > maxUnreachable {
			if err := m.endUnreachable(m.ctx, s, p); err != nil {
				log.Error(err, "Cannot end a shim that cannot be reached", "id", s.ID)
			}
			return
		}
		log.V(2).Info("Lost the connection to a shim that is alive; following it again", "id", s.ID, "err", err)
		select {
		case <-time.After(rewatchDelay):
		case <-m.ctx.Done():
			return
		}
	}
}

// maxUnreachable is how often in a row a shim's socket may refuse before the shim counts
// as lost.
const maxUnreachable = 10

// count counts connections that were refused in a row: the socket is gone, or nobody
// listens at it. Anything else shows that the shim is there.
func count(n int, err error) int {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ECONNREFUSED) {
		return n + 1
	}
	return 0
}

// serves says that a shim is alive and has its sockets.
func (m *Manager) serves(p *shim.Process) bool {
	if p == nil || !p.Alive() {
		return false
	}
	for _, socket := range []string{m.paths.ShimTask(p.PodID()), m.paths.ShimControl(p.PodID())} {
		if _, err := os.Lstat(socket); os.IsNotExist(err) {
			return false
		}
	}
	return true
}

// endUnreachable ends a shim that lives and that nobody can talk to, because its sockets
// were removed: nobody could ever stop its containers.
func (m *Manager) endUnreachable(ctx context.Context, s *Sandbox, p *shim.Process) error {
	klog.FromContext(ctx).Error(nil, "The pod's shim has lost its sockets; it is killed, and with it all containers of the pod", "id", s.ID, "shimPID", p.PID())
	ctx, cancel := context.WithTimeout(ctx, shimStopTimeout)
	defer cancel()
	if err := p.Kill(ctx); err != nil {
		return err
	}
	m.shimLost(s, p)
	return nil
}

func (m *Manager) shimEvent(s *Sandbox, e shim.Event) {
	if e.Record.ID == s.ID {
		m.initEvent(s, e.Record)
		return
	}
	m.workloads.ShimEvent(s.ID, e)
}

// shimLost handles a shim that died under a pod. The containers' processes have
// lost their parent and their log: they are ended by their owner. The pod stays,
// the next container gets a new shim.
func (m *Manager) shimLost(s *Sandbox, p *shim.Process) {
	klog.FromContext(m.ctx).Error(nil, "The pod's shim died; its containers are ended", "id", s.ID, "shimPID", p.PID())
	s.set(func() {
		if s.shim == p {
			s.shim = nil
		}
	})
	m.workloads.ShimLost(s.ID)
	if s.needsInit() && s.Phase() == Ready {
		m.initLost(s)
	}
}

// stopShim ends the shim once nothing of the pod runs.
func (m *Manager) stopShim(ctx context.Context, s *Sandbox) error {
	p := s.Shim()
	s.set(func() { s.shim = nil })
	if p == nil && !s.Handler.Foreign {
		p, _ = shim.Find(m.paths.Pod(s.ID))
	}
	if p == nil {
		return shim.Cleanup(m.paths.State, s.ID)
	}
	ctx, cancel := context.WithTimeout(ctx, shimStopTimeout)
	defer cancel()
	if err := p.Stop(ctx, true); err != nil {
		return fmt.Errorf("stop the pod's shim (pid %d): %w", p.PID(), err)
	}
	return nil
}
