package container

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/core/containers"
	"golang.org/x/sync/errgroup"
	"k8s.io/klog/v2"

	"github.com/berth-run/berth/internal/treeremove"
	"github.com/berth-run/berth/shim"
)

// recoveryParallelism bounds how many containers are looked at side by side.
const recoveryParallelism = 16

// Load reads the records that earlier daemons left, and what the shims wrote about
// the containers, and builds the index. Pods must have been loaded. A single
// record that cannot be read is reported in the log and left alone.
func (m *Manager) Load(ctx context.Context) error {
	records, err := m.store.list(ctx)
	if err != nil {
		return err
	}
	for _, r := range records {
		c, err := m.load(r)
		if err != nil {
			klog.FromContext(ctx).Error(err, "Cannot read a container's record; the container is left alone", "id", r.ID)
			continue
		}
		m.add(c)
	}
	return nil
}

func (m *Manager) load(r containers.Container) (*Container, error) {
	record, config, err := parseRecord(r.Extensions[extension].GetValue())
	if err != nil {
		return nil, err
	}
	pod, err := m.pods.Get(record.PodID)
	if err != nil {
		return nil, fmt.Errorf("its pod: %w", err)
	}
	c := newContainer(r.ID, pod, config, *record)
	c.Snapshotter = r.Snapshotter
	c.CgroupsPath = m.Cgroups.ContainerPath(pod.CgroupParent, c.ID)
	c.hidden, c.inherited = record.Phase == Creating, true
	if record.Phase == Exited {
		c.startedAt = record.Exit.StartedAt
		c.exited, c.cleaned = closed(), closed()
	}
	return c, nil
}

func closed() chan struct{} {
	ch := make(chan struct{})
	close(ch)
	return ch
}

// Resume removes containers that were being made, and takes over what the shims
// recorded while no daemon was there. What happens from then on the pods' shims
// report (ShimEvent).
func (m *Manager) Resume(ctx context.Context) error {
	var g errgroup.Group
	g.SetLimit(recoveryParallelism)
	for _, c := range m.all.List() {
		g.Go(func() error {
			m.resume(ctx, c)
			return nil
		})
	}
	_ = g.Wait()
	if err := m.sweepViews(ctx); err != nil {
		return err
	}
	return m.sweep(ctx)
}

// sweepViews removes views of images that no container mounts: what a crash while
// users were looked up or volumes were filled left.
func (m *Manager) sweepViews(ctx context.Context) error {
	views, err := m.Images.ListImageMounts(ctx)
	if err != nil {
		return err
	}
	used := map[string]bool{}
	for _, c := range m.all.List() {
		for _, im := range c.record.ImageMounts {
			used[im.Key] = true
		}
	}
	alien, err := m.aliens(ctx)
	if err != nil {
		return err
	}
	for _, key := range views {
		if id, _, _ := strings.Cut(key, "-"); used[key] || alien[id] {
			continue
		}
		if err := m.Images.RemoveImageMount(ctx, key); err != nil {
			klog.FromContext(ctx).Error(err, "Cannot remove a view of an image that nobody uses", "view", key)
		}
	}
	return nil
}

// aliens are the containers on record that this build could not load, a newer daemon's
// perhaps: what they have is left alone.
func (m *Manager) aliens(ctx context.Context) (map[string]bool, error) {
	records, err := m.store.list(ctx)
	if err != nil {
		return nil, err
	}
	alien := map[string]bool{}
	for _, r := range records {
		if _, err := m.all.Get(r.ID); err != nil {
			alien[r.ID] = true
		}
	}
	return alien, nil
}

func (m *Manager) resume(ctx context.Context, c *Container) {
	c.mu.RLock()
	phase := c.record.Phase
	c.mu.RUnlock()
	switch phase {
	case Creating:
		if err := m.remove(ctx, c); err != nil {
			klog.FromContext(ctx).Error(err, "Cannot undo a container that was being made; remove it", "id", c.ID)
			c.set(func() { c.hidden = false })
		}
	case Created:
		if r, err := m.statusFile(c); err == nil && r.State != shim.StateCreated {
			m.apply(c, r)
		}
		if c.Pod.Handler.Foreign {
			m.resumeForeign(ctx, c)
		}
		m.endLeftExecs(c)
	case Exited:
		m.finishForeignExit(c)
	}
}

// sweep removes directories of containers that have no record.
func (m *Manager) sweep(ctx context.Context) error {
	records, err := m.store.list(ctx)
	if err != nil {
		return err
	}
	recorded := map[string]bool{}
	for _, r := range records {
		recorded[r.ID] = true
	}
	for _, parent := range []string{m.paths.Containers(), m.paths.ContainerData(), m.paths.FIFOs()} {
		entries, err := os.ReadDir(parent)
		if err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("look for directories without a record: %w", err)
		}
		for _, e := range entries {
			if recorded[e.Name()] {
				continue
			}
			klog.FromContext(ctx).Info("Removing the directory of a container that has no record", "path", filepath.Join(parent, e.Name()))
			if parent == m.paths.Containers() {
				m.endUnrecorded(ctx, e.Name())
			}
			if err := treeremove.All(filepath.Join(parent, e.Name())); err != nil {
				klog.FromContext(ctx).Error(err, "Cannot remove it")
			}
		}
	}
	return nil
}
