package sandbox

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/klog/v2"

	"github.com/berth-run/berth/internal/flight"
)

// Stop ends everything that runs in the pod and gives back its network (CRI
// StopPodSandbox). It is idempotent; a pod that does not exist is no error.
func (m *Manager) Stop(ctx context.Context, id string) error {
	s, err := m.Get(id)
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	what := "StopPodSandbox of " + describe(s.Config.GetMetadata())
	_, err = m.flights.Do(ctx, "stop/"+s.ID, what, func(ctx context.Context, call *flight.Call) (string, error) {
		ctx, cancel := m.bounded(ctx)
		defer cancel()
		return s.ID, m.stop(ctx, s, call)
	})
	return err
}

func (m *Manager) stop(ctx context.Context, s *Sandbox, call *flight.Call) error {
	s.set(func() { s.stopped = true })
	if s.Phase() == Stopped {
		return nil
	}
	name := describe(s.Config.GetMetadata())
	if err := m.planOf("StopPodSandbox", m.stopPlan(s), call.SetStage).Down(ctx); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	klog.FromContext(ctx).Info("Pod is stopped", "pod", klog.KRef(s.Config.Metadata.Namespace, s.Config.Metadata.Name), "id", s.ID)
	m.changed(s, runtimeapi.ContainerEventType_CONTAINER_STOPPED_EVENT)
	return nil
}

// Remove removes the pod with all its containers, running or not (CRI
// RemovePodSandbox). It is idempotent; a pod that does not exist is no error.
func (m *Manager) Remove(ctx context.Context, id string) error {
	s, err := m.Get(id)
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	what := "RemovePodSandbox of " + describe(s.Config.GetMetadata())
	_, err = m.flights.Do(ctx, "remove/"+s.ID, what, func(ctx context.Context, call *flight.Call) (string, error) {
		ctx, cancel := m.bounded(ctx)
		defer cancel()
		return s.ID, m.remove(ctx, s, call)
	})
	return err
}

func (m *Manager) remove(ctx context.Context, s *Sandbox, call *flight.Call) error {
	if _, err := m.flights.Do(ctx, "stop/"+s.ID, "StopPodSandbox of "+describe(s.Config.GetMetadata()), func(ctx context.Context, call *flight.Call) (string, error) {
		ctx, cancel := m.bounded(ctx)
		defer cancel()
		return s.ID, m.stop(ctx, s, call)
	}); err != nil {
		return err
	}
	name := describe(s.Config.GetMetadata())
	err := m.planOf("RemovePodSandbox", m.removePlan(s), call.SetStage).Down(ctx)
	if err != nil && m.recorded(ctx, s) {
		return fmt.Errorf("%s: %w", name, err)
	}
	// The record goes last: without it, nothing is left, whatever the error says.
	m.forget(s)
	m.changed(s, runtimeapi.ContainerEventType_CONTAINER_DELETED_EVENT)
	return nil
}

// UpdateResources applies pod-level resources (CRI UpdatePodSandboxResources,
// KEP-1287).
func (m *Manager) UpdateResources(ctx context.Context, id string, overhead, resources *runtimeapi.LinuxContainerResources) error {
	s, err := m.Get(id)
	if err != nil {
		return err
	}
	if !s.Ready() {
		return fmt.Errorf("pod sandbox %s is not ready, its resources cannot be changed: %w", s.ID, errdefs.ErrFailedPrecondition)
	}
	if resources == nil && overhead == nil {
		return nil
	}
	if err := m.Cgroups.UpdatePod(ctx, s.CgroupParent, resources, overhead); err != nil {
		return fmt.Errorf("update the resources of %s: %w", describe(s.Config.GetMetadata()), err)
	}
	return nil
}
