package sandbox

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"
	"k8s.io/klog/v2"

	"github.com/berth-run/berth/cni"
	"github.com/berth-run/berth/config"
	"github.com/berth-run/berth/container/ocispec"
	"github.com/berth-run/berth/internal/netns"
	"github.com/berth-run/berth/internal/private"
	"github.com/berth-run/berth/shim"
)

// recoveryParallelism bounds how many pods are looked at side by side at start.
const recoveryParallelism = 16

// Load reads the records that earlier daemons left and builds the index. It
// changes nothing; Resume does. The error is for a store that cannot be read: a
// single record that cannot be is reported in the log and left alone.
func (m *Manager) Load(ctx context.Context) error {
	if err := private.Directory(m.paths.Pods()); err != nil {
		return fmt.Errorf("make the directory of pods: %w", err)
	}
	if err := os.MkdirAll(m.paths.NetworkNamespaces(), 0o755); err != nil {
		return fmt.Errorf("make the directory of network namespaces: %w", err)
	}
	if m.paths.State == config.DefaultState {
		if err := netns.Share(m.paths.NetworkNamespaces()); err != nil {
			klog.FromContext(ctx).Error(err, "Network agents in containers may not see the pods' network namespaces")
		}
	}
	records, err := m.store.list(ctx)
	if err != nil {
		return err
	}
	for _, r := range records {
		s, err := m.load(r)
		if err != nil {
			klog.FromContext(ctx).Error(err, "Cannot read a pod's record; the pod is left alone", "id", r.id)
			m.alien = append(m.alien, r.id)
			continue
		}
		m.add(s)
	}
	return nil
}

func (m *Manager) load(r stored) (*Sandbox, error) {
	record, request, err := parseRecord(r.raw)
	if err != nil {
		return nil, err
	}
	s := &Sandbox{
		ID: r.id, Config: request, HandlerName: record.Handler, CreatedAt: record.CreatedAt, record: *record,
		// Nobody sees the pod before Resume has found out what is left of it.
		hidden: record.Phase == Creating || record.Phase == Removed,
	}
	if s.Handler, err = m.Handlers.Get(record.Handler); err != nil {
		// The handler was taken out of the configuration. The default one can
		// still take the pod apart.
		s.stopped = true
		if s.Handler, err = m.Handlers.Get(""); err != nil {
			return nil, err
		}
	}
	if record.ProcessLabel != "" {
		ocispec.ReserveSELinuxLabel(record.ProcessLabel)
	}
	return s, m.place(s)
}

// Resume finds out what is left of each pod: half-made ones are undone, owed CNI
// DELs queued, shims of ready ones followed. Containers must have been loaded.
func (m *Manager) Resume(ctx context.Context) error {
	var g errgroup.Group
	g.SetLimit(recoveryParallelism)
	for _, s := range m.pods.List() {
		g.Go(func() error {
			if err := m.resume(ctx, s); err != nil {
				klog.FromContext(ctx).Error(err, "Cannot recover a pod; it is not ready", "id", s.ID)
				s.set(func() { s.hidden, s.stopped = false, true })
			}
			return nil
		})
	}
	_ = g.Wait()
	return m.sweep(ctx)
}

func (m *Manager) resume(ctx context.Context, s *Sandbox) error {
	switch s.Phase() {
	case Creating:
		return m.undo(ctx, s)
	case Removed:
		m.forget(s)
		m.retryDetach(s)
		return nil
	case Stopped:
		s.set(func() { s.stopped = true })
		if !m.detached(s) {
			m.retryDetach(s)
		}
		return nil
	}
	return m.resumeReady(ctx, s)
}

// undo takes apart a pod that was being made when the daemon ended.
func (m *Manager) undo(ctx context.Context, s *Sandbox) error {
	if err := m.planOf("RecoverPodSandbox", m.removePlan(s), nil).Down(ctx); err != nil && m.recorded(ctx, s) {
		return err
	}
	m.forget(s)
	return nil
}

// resumeReady checks that a pod which should be ready is so, and takes up its shim.
func (m *Manager) resumeReady(ctx context.Context, s *Sandbox) error {
	alive := m.pinned(s)
	if !alive {
		klog.FromContext(ctx).Info("The pod's namespaces are gone, as after a reboot; it is not ready", "id", s.ID)
		s.set(func() { s.stopped = true })
	}
	if alive {
		if !s.HostNetwork() { // one of an older version has no published pin
			if err := netns.Publish(m.paths.PodNamespaces(s.ID), m.paths.PublishedNetNS(s.ID)); err != nil {
				return err
			}
		}
		if err := m.repairFiles(ctx, s); err != nil {
			return err
		}
	}
	if s.Handler.Foreign {
		if st, err := m.tasks.Get(ctx, s.ID, ""); err == nil && st.Running {
			s.set(func() { s.initPID = st.PID })
		} else {
			s.set(func() { s.stopped = true })
		}
		return nil
	}
	p, err := shim.Find(m.paths.Pod(s.ID))
	if err != nil {
		m.workloads.ShimLost(s.ID)
		if s.needsInit() {
			s.set(func() { s.stopped = true })
		}
		return nil
	}
	m.adopt(s, p)
	return nil
}

// pinned says whether the pod's namespaces are all there.
func (m *Manager) pinned(s *Sandbox) bool {
	want := m.namespaceSpec(s)
	have, err := netns.Verify(m.paths.PodNamespaces(s.ID))
	if err != nil {
		return false
	}
	return (!want.Net || have.Net) && (!want.IPC || have.IPC) && (!want.UTS || have.UTS) && (want.User == nil || have.User)
}

// sweep removes directories of pods that have no record: what a crash between the
// record's end and the directory's left.
func (m *Manager) sweep(ctx context.Context) error {
	entries, err := os.ReadDir(m.paths.Pods())
	if err != nil {
		return fmt.Errorf("look for directories without a record: %w", err)
	}
	known, err := m.store.list(ctx)
	if err != nil {
		return err
	}
	recorded := map[string]bool{}
	for _, r := range known {
		recorded[r.id] = true
	}
	m.sweepPublished(ctx, recorded)
	for _, e := range entries {
		if recorded[e.Name()] || !e.IsDir() {
			continue
		}
		klog.FromContext(ctx).Info("Removing the directory of a pod that has no record", "id", e.Name())
		if err := m.sweepOne(ctx, e.Name()); err != nil {
			klog.FromContext(ctx).Error(err, "Cannot remove it", "id", e.Name())
		}
	}
	return nil
}

// sweepPublished removes published pins of pods that have no record: an older version that removed
// such a pod did not know of the pin, which keeps the network namespace.
func (m *Manager) sweepPublished(ctx context.Context, recorded map[string]bool) {
	pins, err := filepath.Glob(m.paths.PublishedNetNS("*"))
	if err != nil {
		return // only a bad pattern is an error
	}
	for _, pin := range pins {
		id := strings.TrimPrefix(pin, m.paths.PublishedNetNS(""))
		if recorded[id] || len(id) != idLength {
			continue
		}
		if err := netns.Unpublish(pin); err != nil {
			klog.FromContext(ctx).Error(err, "Cannot remove the network namespace of a pod that has no record", "id", id)
		}
	}
}

func (m *Manager) sweepOne(ctx context.Context, id string) error {
	if p, err := shim.Find(m.paths.Pod(id)); err == nil {
		stop, cancel := context.WithTimeout(ctx, shimStopTimeout)
		defer cancel()
		if err := p.Stop(stop, true); err != nil {
			return err
		}
	}
	// What is known of the network is in the plugins' own records.
	att := cni.Attachment{PodID: id, NetNS: m.cniNetNS(id)}
	if err := m.Network.Detach(ctx, att); err != nil {
		klog.FromContext(ctx).Error(err, "Cannot detach a pod without a record from its network; collected later", "id", id)
	}
	s := &Sandbox{ID: id}
	var err error
	if s.CgroupParent, s.ownCgroup, err = m.Cgroups.PodParent("", id); err != nil {
		return err
	}
	for _, undo := range []action{m.unmountShm, m.unmountFiles, m.removeNamespaces, m.removeCgroup, m.removeDirectory} {
		if err := undo(ctx, s); err != nil {
			return err
		}
	}
	return nil
}
