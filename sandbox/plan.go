package sandbox

import (
	"context"
	"fmt"
	"os"

	"github.com/containerd/errdefs"

	"github.com/berth-run/berth/internal/netns"
	"github.com/berth-run/berth/internal/steps"
)

// plan is everything a pod is made of, in the order it is built. The record
// comes first and is the last to go.
func (m *Manager) plan(s *Sandbox) steps.Node {
	return steps.Seq{
		m.step(s, "record", m.createRecord, m.deleteRecord),
		m.step(s, "directory", m.createDirectory, m.removeDirectory),
		m.step(s, "cgroup", m.createCgroup, m.removeCgroup),
		m.workingPart(s),
		m.step(s, "ready", m.markReady, nil),
	}
}

// workingPart is the part of the plan that StopPodSandbox undoes. Network, shm and
// shim do not depend on each other.
func (m *Manager) workingPart(s *Sandbox) steps.Node {
	return steps.Seq{
		steps.Par{
			steps.Seq{
				m.step(s, "namespaces", m.createNamespaces, m.removeNamespaces),
				m.step(s, "network", m.attachNetwork, m.detachNetwork),
			},
			m.step(s, "shm", m.mountShm, m.unmountShm),
			m.step(s, "shim", m.startShim, m.stopShim),
		},
		m.step(s, "files", m.writeFiles, m.unmountFiles), // names the pod's addresses
		m.step(s, "init", m.startInit, m.stopInit),
	}
}

// stopPlan is what StopPodSandbox undoes.
func (m *Manager) stopPlan(s *Sandbox) steps.Node {
	return steps.Seq{
		m.step(s, "stopped", nil, m.markStopped),
		m.workingPart(s),
		m.step(s, "containers", nil, m.stopContainers),
	}
}

// removePlan is what RemovePodSandbox undoes, and recovery of a half-made pod.
func (m *Manager) removePlan(s *Sandbox) steps.Node {
	return steps.Seq{m.plan(s), m.step(s, "containers", nil, m.removeContainers)}
}

type action func(context.Context, *Sandbox) error

func (m *Manager) step(s *Sandbox, name string, do, undo action) steps.Step {
	step := steps.Step{Name: name}
	if do != nil {
		step.Do = func(ctx context.Context) error { return do(ctx, s) }
	}
	if undo != nil {
		step.Undo = func(ctx context.Context) error { return undo(ctx, s) }
	}
	return step
}

func (m *Manager) createRecord(ctx context.Context, s *Sandbox) error {
	meta := s.Config.GetMetadata()
	s.mu.RLock()
	r := s.record
	s.mu.RUnlock()
	return m.store.create(ctx, s.ID, s.Handler.Shim, &r, map[string]string{
		"io.kubernetes.pod.name":      meta.GetName(),
		"io.kubernetes.pod.namespace": meta.GetNamespace(),
		"io.kubernetes.pod.uid":       meta.GetUid(),
	})
}

// deleteRecord deletes the record, or turns it into a tombstone while a CNI DEL
// is owed: the effect has to be gone first.
func (m *Manager) deleteRecord(ctx context.Context, s *Sandbox) error {
	if m.detached(s) {
		return m.deleteDetached(ctx, s)
	}
	if err := m.saveIfRecorded(ctx, s, func(r *Record) { r.Phase = Removed }); err != nil {
		return err
	}
	m.retryDetach(s)
	return nil
}

// deleteDetached deletes the record of a pod that no CNI DEL is owed for any more, after
// what was kept for the DEL.
func (m *Manager) deleteDetached(ctx context.Context, s *Sandbox) error {
	if err := m.removeNamespaces(ctx, s); err != nil {
		return err
	}
	if err := m.removeDirectory(ctx, s); err != nil {
		return err
	}
	return m.store.delete(ctx, s.ID)
}

func (m *Manager) createDirectory(_ context.Context, s *Sandbox) error {
	if err := os.MkdirAll(m.paths.Pod(s.ID), 0o700); err != nil {
		return fmt.Errorf("create the pod's directory: %w", err)
	}
	return nil
}

func (m *Manager) removeDirectory(_ context.Context, s *Sandbox) error {
	if m.keepsNetwork(s) {
		return nil
	}
	if err := os.RemoveAll(m.paths.Pod(s.ID)); err != nil {
		return fmt.Errorf("remove the pod's directory: %w", err)
	}
	return nil
}

func (m *Manager) createCgroup(ctx context.Context, s *Sandbox) error {
	if !s.ownCgroup {
		return nil
	}
	return m.Cgroups.EnsurePod(ctx, s.CgroupParent)
}

func (m *Manager) removeCgroup(ctx context.Context, s *Sandbox) error {
	if !s.ownCgroup {
		return nil
	}
	return m.Cgroups.RemovePod(ctx, s.CgroupParent)
}

func (m *Manager) createNamespaces(ctx context.Context, s *Sandbox) error {
	spec := m.namespaceSpec(s)
	if !spec.Net && !spec.IPC && spec.User == nil {
		return nil
	}
	if err := netns.Create(ctx, spec); err != nil || !spec.Net {
		return err
	}
	return netns.Publish(spec.Dir, m.paths.PublishedNetNS(s.ID))
}

// removeNamespaces lets go of the pod's namespaces, unless a CNI DEL is owed.
func (m *Manager) removeNamespaces(ctx context.Context, s *Sandbox) error {
	if m.keepsNetwork(s) {
		return nil
	}
	if err := netns.Unpublish(m.paths.PublishedNetNS(s.ID)); err != nil {
		return err
	}
	return netns.Remove(ctx, m.paths.PodNamespaces(s.ID))
}

// markReady writes what the pod got, in one transaction, once all of it exists.
func (m *Manager) markReady(ctx context.Context, s *Sandbox) error {
	return m.save(ctx, s, func(r *Record) { r.Phase = Ready })
}

func (m *Manager) markStopped(ctx context.Context, s *Sandbox) error {
	return m.saveIfRecorded(ctx, s, func(r *Record) { r.Phase = Stopped })
}

// saveIfRecorded saves on the way down. A record that somebody else has deleted must not
// keep the pod from going: the change is in memory then.
func (m *Manager) saveIfRecorded(ctx context.Context, s *Sandbox, change func(*Record)) error {
	err := m.save(ctx, s, change)
	if errdefs.IsNotFound(err) {
		s.set(func() { change(&s.record) })
		return nil
	}
	return err
}

func (m *Manager) stopContainers(ctx context.Context, s *Sandbox) error {
	return m.workloads.StopPod(ctx, s.ID)
}

func (m *Manager) removeContainers(ctx context.Context, s *Sandbox) error {
	return m.workloads.RemovePod(ctx, s.ID)
}
