package container

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/klog/v2"

	"github.com/berth-run/berth/container/ocispec"
	"github.com/berth-run/berth/engine"
	"github.com/berth-run/berth/imageservice"
	"github.com/berth-run/berth/internal/steps"
	"github.com/berth-run/berth/internal/treeremove"
)

// createPlan is everything a container is made of before it runs, in the order
// it is built. The record comes first and is the last to go.
func (m *Manager) createPlan(n *creation) steps.Node {
	plan := steps.Seq{
		n.step("record", func(ctx context.Context) error { return m.createRecord(ctx, n) }, m.deleteRecord),
		n.step("directory", m.do(n, m.createDirectories), m.removeDirectories),
		n.step("images", m.do(n, m.mountImages), m.unmountImages),
	}
	if n.out == nil {
		plan = append(plan, n.step("spec", func(ctx context.Context) error { return m.buildSpec(ctx, n) }, nil))
	}
	return append(plan,
		steps.Par{
			n.step("snapshot", func(ctx context.Context) error { return m.createSnapshot(ctx, n) }, m.removeSnapshot),
			n.step("volumes", func(ctx context.Context) error { return m.createVolumes(ctx, n) }, m.removeVolumesView),
		},
		n.step("security", func(context.Context) error { return n.out.Prepare() }, nil),
		n.step("created", func(ctx context.Context) error { return m.markCreated(ctx, n) }, nil),
	)
}

// removePlan is the same with nothing but what the record tells, to be undone.
func (m *Manager) removePlan(c *Container) steps.Node {
	n := &creation{Container: c}
	return steps.Seq{
		n.step("record", nil, m.deleteRecord),
		n.step("directory", nil, m.removeDirectories),
		n.step("images", nil, m.unmountImages),
		n.step("snapshot", nil, m.removeSnapshot),
		n.step("volumes", nil, m.removeVolumesView),
		n.step("streams", nil, m.closeForeign),
		n.step("task", nil, m.removeTask),
	}
}

type action func(context.Context, *Container) error

func (m *Manager) do(n *creation, do action) func(context.Context) error {
	return func(ctx context.Context) error { return do(ctx, n.Container) }
}

func (n *creation) step(name string, do func(context.Context) error, undo action) steps.Step {
	s := steps.Step{Name: name, Do: do}
	if undo != nil {
		s.Undo = func(ctx context.Context) error { return undo(ctx, n.Container) }
	}
	return s
}

func (m *Manager) createRecord(ctx context.Context, n *creation) error {
	ociSpec := emptySpec()
	if n.out != nil {
		ociSpec = n.out.Spec
	}
	specAny, err := typeurl.MarshalAny(ociSpec)
	if err != nil {
		return fmt.Errorf("encode the OCI spec: %w", err)
	}
	options, err := n.Pod.Handler.MarshalOptions()
	if err != nil {
		return fmt.Errorf("encode the runtime options: %w", err)
	}
	record := containers.Container{
		ID: n.ID,
		Labels: map[string]string{
			"io.kubernetes.pod.name":       n.Pod.Config.GetMetadata().GetName(),
			"io.kubernetes.pod.namespace":  n.Pod.Config.GetMetadata().GetNamespace(),
			"io.kubernetes.pod.uid":        n.Pod.Config.GetMetadata().GetUid(),
			"io.kubernetes.container.name": n.Config.GetMetadata().GetName(),
			criKindLabel:                   criKind(m.Config.Containerd.Address != ""),
		},
		Image:       n.image.Name(),
		Runtime:     containers.RuntimeInfo{Name: n.Pod.Handler.Shim, Options: options},
		Spec:        specAny,
		Snapshotter: n.Snapshotter,
		SnapshotKey: n.ID,
	}
	if !n.Pod.Handler.Foreign {
		record.SandboxID = n.Pod.ID
	}
	metadata, err := criMetadataOf(n)
	if err != nil {
		return err
	}
	record.Extensions = map[string]typeurl.Any{criExtension: metadata}
	n.mu.RLock()
	r := n.record
	n.mu.RUnlock()
	return m.store.create(ctx, record, &r)
}

func (m *Manager) deleteRecord(ctx context.Context, c *Container) error {
	return m.store.delete(ctx, c.ID)
}

// markCreated completes the record once everything exists.
func (m *Manager) markCreated(ctx context.Context, n *creation) error {
	var late *specs.Spec
	if len(n.record.ImageMounts) > 0 || n.sharesVolumes {
		late = n.out.Spec // the record still has the placeholder, or volumes that others stand for
	}
	return m.save(ctx, n.Container, late, func(r *Record) { r.Phase = Created })
}

func (m *Manager) createDirectories(_ context.Context, c *Container) error {
	if err := os.MkdirAll(m.paths.Container(c.ID), 0o700); err != nil {
		return fmt.Errorf("create the container's directory: %w", err)
	}
	if log := c.LogPath(); log != "" {
		if err := makeLogDirectory(c.logRoot(), filepath.Dir(log)); err != nil {
			return fmt.Errorf("create the directory of the log: %w", err)
		}
	}
	return nil
}

// makeLogDirectory makes dir, which lies in the pod's log directory root. A container that
// can write there may have put links in the way: none leads out of root.
func makeLogDirectory(root, dir string) error {
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	rel, err := filepath.Rel(root, dir)
	if err != nil || rel == "." {
		return err
	}
	r, err := os.OpenRoot(root)
	if err != nil {
		return err
	}
	defer r.Close()
	return r.MkdirAll(rel, 0o755)
}

func (m *Manager) removeDirectories(_ context.Context, c *Container) error {
	dirs := []string{
		m.paths.Container(c.ID), filepath.Dir(m.paths.ContainerVolumes(c.ID)),
		// What the runtime keeps of a container goes with its task, unless the shim died.
		filepath.Join(m.paths.RuncRoot(), engine.Namespace, c.ID),
	}
	for _, dir := range dirs {
		if err := treeremove.All(dir); err != nil {
			return fmt.Errorf("remove the container's directory: %w", err)
		}
	}
	return nil
}

func (m *Manager) createSnapshot(ctx context.Context, n *creation) error {
	opts := []snapshots.Opt{snapshots.WithLabels(map[string]string{engine.SnapshotLabel: n.ID})}
	if ids := n.out.UserNamespace; ids != nil {
		labels, err := m.remapLabels(ctx, n.Snapshotter, ids)
		if err != nil {
			return err
		}
		opts = append(opts, snapshots.WithLabels(labels))
	}
	_, err := m.client.SnapshotService(n.Snapshotter).Prepare(engine.Context(ctx), n.ID, n.image.ChainID, opts...)
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return fmt.Errorf("make the writable layer on %s: %w", n.image.Name(), err)
	}
	return nil
}

// remapLabels make the snapshotter show the layers with the user namespace's IDs.
func (m *Manager) remapLabels(ctx context.Context, snapshotter string, ids *ocispec.IDMappings) (map[string]string, error) {
	caps, err := m.client.GetSnapshotterCapabilities(engine.Context(ctx), snapshotter)
	if err != nil {
		return nil, fmt.Errorf("ask snapshotter %s what it can do: %w", snapshotter, err)
	}
	for _, c := range caps {
		if c == "remap-ids" {
			return map[string]string{
				snapshots.LabelSnapshotUIDMapping: mappings(ids.UIDs),
				snapshots.LabelSnapshotGIDMapping: mappings(ids.GIDs),
			}, nil
		}
	}
	return nil, precondition("snapshotter %s cannot map user IDs on this kernel, so that no user namespace can be used", snapshotter)
}

func mappings(in []specs.LinuxIDMapping) string {
	out := ""
	for i, m := range in {
		if i > 0 {
			out += ","
		}
		out += fmt.Sprintf("%d:%d:%d", m.ContainerID, m.HostID, m.Size)
	}
	return out
}

func (m *Manager) removeSnapshot(ctx context.Context, c *Container) error {
	ctx, sn := engine.Context(ctx), m.client.SnapshotService(c.Snapshotter)
	if err := imageservice.EmptyLayer(ctx, sn, c.ID); err != nil {
		klog.FromContext(ctx).Error(err, "Cannot empty the writable layer of a container before its removal", "id", c.ID)
	}
	err := sn.Remove(ctx, c.ID)
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("remove the writable layer: %w", err)
	}
	return nil
}

func (m *Manager) removeTask(ctx context.Context, c *Container) error {
	if c.inherited && c.State() == runtimeapi.ContainerState_CONTAINER_CREATED && !c.halfMade() {
		return m.takeBack(ctx, c)
	}
	return m.tasks.Delete(ctx, c.ID)
}

// rootfs are the mounts that make up the container's root file system.
func (m *Manager) rootfs(ctx context.Context, c *Container) ([]mount.Mount, error) {
	mounts, err := m.client.SnapshotService(c.Snapshotter).Mounts(engine.Context(ctx), c.ID)
	if err != nil {
		return nil, fmt.Errorf("find the container's layers: %w", err)
	}
	return mounts, nil
}
