package container

import (
	"context"
	"fmt"
	"os"

	"github.com/containerd/containerd/v2/core/mount"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-run/berth/engine"
	"github.com/berth-run/berth/internal/copyup"
)

// volumesView is the view of the image that the volumes are filled from.
func volumesView(c *Container) string { return c.ID + "-volumes" }

// createVolumes makes the directories for what the image declares as volumes, and
// fills them with what the image has there, as users of VOLUME expect.
func (m *Manager) createVolumes(ctx context.Context, n *creation) error {
	if len(n.out.Volumes) == 0 {
		return nil
	}
	var volumes []copyup.Volume
	for _, v := range n.out.Volumes {
		if err := os.MkdirAll(v.HostPath, 0o755); err != nil {
			return fmt.Errorf("create the volume of the image at %s: %w", v.ContainerPath, err)
		}
		volumes = append(volumes, copyup.Volume{Path: v.ContainerPath, HostPath: v.HostPath})
	}
	return m.fillVolumes(ctx, n, volumes)
}

// fillVolumes needs the image mounted, for as long as the copy takes.
func (m *Manager) fillVolumes(ctx context.Context, n *creation, volumes []copyup.Volume) error {
	key := volumesView(n.Container)
	mounts, err := m.Images.PrepareImageMount(ctx, n.image, key)
	if err != nil {
		return fmt.Errorf("fill the volumes of the image: %w", err)
	}
	defer m.dropView(ctx, key)
	return mount.WithReadonlyTempMount(engine.Context(ctx), mounts, func(root string) error {
		shared, err := copyup.Fill(ctx, root, volumes)
		n.sharesVolumes = replaceSources(n.out.Spec, shared)
		return err
	})
}

// replaceSources mounts other directories than the spec says, as the map from one to the other tells, and
// reports whether there were any.
func replaceSources(s *specs.Spec, by map[string]string) bool {
	found := false
	for i, mnt := range s.Mounts {
		if source, ok := by[mnt.Source]; ok && mnt.Type == "bind" {
			s.Mounts[i].Source = source
			found = true
		}
	}
	return found
}

// removeVolumesView undoes what filling the volumes may have left. The volumes
// themselves go with the container's directories.
func (m *Manager) removeVolumesView(ctx context.Context, c *Container) error {
	return m.Images.RemoveImageMount(ctx, volumesView(c))
}
