package container

import (
	"context"
	"fmt"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/container/ocispec"
	"github.com/berth-run/berth/internal/cgroup"
)

// UpdateResources changes the resources of a container that has not ended (CRI
// UpdateContainerResources). The record is changed after the kernel has taken the
// values, so that both agree.
func (m *Manager) UpdateResources(ctx context.Context, id string, resources *runtimeapi.LinuxContainerResources) error {
	c, err := m.Get(id)
	if err != nil {
		return err
	}
	if err := ocispec.ValidateResources("linux", resources); err != nil {
		return err
	}
	if resources == nil {
		return nil
	}
	call, end := m.flights.Track("update/"+c.ID, "UpdateContainerResources of "+c.Name(), 1)
	defer end()
	call.SetStage("waiting for another operation")
	release, err := c.acquire(ctx)
	if err != nil {
		return err
	}
	defer release()
	call.SetStage("resources")
	ctx, cancel := m.bounded(ctx)
	defer cancel()
	return m.update(ctx, c, resources)
}

func (m *Manager) update(ctx context.Context, c *Container, resources *runtimeapi.LinuxContainerResources) error {
	state := c.State()
	if state == runtimeapi.ContainerState_CONTAINER_EXITED {
		return precondition("%s has ended, its resources cannot be changed", c.Name())
	}
	old, err := m.store.spec(ctx, c.ID)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Name(), err)
	}
	updated, linux, err := ocispec.Update(old, resources, ocispec.ResourceOptions{
		Host: m.Host, RefuseMissingHugetlb: !m.Config.Container.TolerateMissingHugetlb,
	})
	if err != nil {
		return fmt.Errorf("%s: %w", c.Name(), err)
	}
	if state == runtimeapi.ContainerState_CONTAINER_RUNNING {
		if err := m.tasks.Update(ctx, c.ID, linux); err != nil {
			return fmt.Errorf("%s: %w", c.Name(), cgroup.Refusal(err))
		}
	}
	inForce := ocispec.ToCRI(updated)
	if err := m.save(ctx, c, updated, func(r *Record) { r.Resources = inForce }); err != nil {
		return fmt.Errorf("%s: %w", c.Name(), err)
	}
	return nil
}
