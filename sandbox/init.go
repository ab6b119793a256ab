package sandbox

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/klog/v2"

	"github.com/berth-run/berth/container/ocispec"
	"github.com/berth-run/berth/engine"
	"github.com/berth-run/berth/internal/task"
	"github.com/berth-run/berth/shim"
)

const (
	// InitLabel marks the container record of a pod's init process, which is not
	// a container of the CRI.
	InitLabel = "berth.run/init"
)

func engineContext(ctx context.Context) context.Context { return engine.Context(ctx) }

// procNamespace is a namespace of a running process.
func procNamespace(pid uint32, kind string) string {
	return filepath.Join("/proc", strconv.FormatUint(uint64(pid), 10), "ns", kind)
}

// specDefaults are the node-wide settings of OCI specs that matter for pods.
func (m *Manager) specDefaults() ocispec.Defaults {
	return ocispec.Defaults{
		DisableAppArmor: m.Config.Security.DisableAppArmor,
		DisableSELinux:  !m.Config.Security.EnableSELinux,
	}
}

// startInit runs the pod's own process where it has one. It is a container in
// containerd's eyes, with the pod's ID, made of one file of berthd's own.
func (m *Manager) startInit(ctx context.Context, s *Sandbox) error {
	if !s.needsInit() {
		return nil
	}
	root := filepath.Join(m.paths.PodInit(s.ID), "rootfs")
	if err := m.initRoot(root); err != nil {
		return err
	}
	ociSpec, err := m.initSpec(s)
	if err != nil {
		return err
	}
	if err := m.createInitRecord(ctx, s, ociSpec); err != nil {
		return err
	}
	req := task.CreateRequest{
		ID: s.ID, Options: s.Handler.TaskOptions(ioOwner(s)),
		// In the bundle, since root of the pod's user namespace cannot pass the pod's directory.
		Rootfs: []mount.Mount{{Type: "bind", Source: root, Options: []string{"rbind", "nosuid", "nodev"}}},
	}
	if p := s.Shim(); p != nil {
		req.Stdio.Stdout = shim.IOConfig{}.URI()
		req.Endpoint, req.EndpointVersion = p.TaskEndpoint(), shim.TaskAPIVersion
	}
	pid, err := m.tasks.Create(ctx, req)
	if err != nil {
		return fmt.Errorf("create the pod's init process: %w", err)
	}
	if _, err := m.tasks.Start(ctx, s.ID, ""); err != nil {
		return fmt.Errorf("start the pod's init process: %w", err)
	}
	s.set(func() { s.initPID = pid })
	return nil
}

// ioOwner is who owns the pipes of the pod's processes: root of its user namespace.
func ioOwner(s *Sandbox) (uid, gid uint32) {
	u := s.UserNamespace()
	if u == nil {
		return 0, 0
	}
	return u.GetUids()[0].GetHostId(), u.GetGids()[0].GetHostId()
}

// initRoot makes the root file system: directories for what the runtime mounts,
// and the file the binary is bound to.
func (m *Manager) initRoot(root string) error {
	for _, dir := range []string{"proc", "sys", "dev"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			return fmt.Errorf("create the root of the pod's init process: %w", err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, ocispec.PodProcessPath), nil, 0o755); err != nil {
		return fmt.Errorf("create the root of the pod's init process: %w", err)
	}
	return nil
}

// initSpec builds the OCI spec of the pod's own process.
func (m *Manager) initSpec(s *Sandbox) (*specs.Spec, error) {
	process, mount := s.Labels()
	out, err := ocispec.PodProcess(ocispec.Input{
		ContainerID:  s.ID,
		ContainerDir: m.paths.PodInit(s.ID),
		Sandbox: ocispec.Sandbox{
			ID: s.ID, Config: s.Config, Namespaces: m.Namespaces(s),
			ProcessLabel: process, MountLabel: mount, RuntimeHandler: s.HandlerName,
		},
		CgroupsPath: m.Cgroups.ContainerPath(s.CgroupParent, s.ID),
		Runtime:     s.Handler.Spec,
		Defaults:    m.specDefaults(),
		Host:        m.Host,
	}, m.InitBinary, s.Handler.Foreign)
	if err != nil {
		return nil, fmt.Errorf("make the OCI spec of the pod's init process: %w", err)
	}
	if err := out.Prepare(); err != nil {
		return nil, fmt.Errorf("prepare the host for the pod's init process: %w", err)
	}
	return out.Spec, nil
}

func (m *Manager) createInitRecord(ctx context.Context, s *Sandbox, ociSpec *specs.Spec) error {
	specAny, err := typeurl.MarshalAny(ociSpec)
	if err != nil {
		return fmt.Errorf("encode the OCI spec of the pod's init process: %w", err)
	}
	options, err := s.Handler.MarshalOptions()
	if err != nil {
		return fmt.Errorf("encode the runtime options: %w", err)
	}
	record := containers.Container{
		ID:      s.ID,
		Labels:  map[string]string{InitLabel: "true"},
		Runtime: containers.RuntimeInfo{Name: s.Handler.Shim, Options: options},
		Spec:    specAny,
	}
	if !s.Handler.Foreign {
		record.SandboxID = s.ID
	}
	if _, err := m.client.ContainerService().Create(engineContext(ctx), record); err != nil {
		return fmt.Errorf("write the record of the pod's init process: %w", err)
	}
	return nil
}

func (m *Manager) stopInit(ctx context.Context, s *Sandbox) error {
	if !s.needsInit() {
		return nil
	}
	if err := m.tasks.Reap(ctx, s.ID); err != nil {
		return fmt.Errorf("end the pod's init process: %w", err)
	}
	s.set(func() { s.initPID = 0 })
	err := m.client.ContainerService().Delete(engineContext(ctx), s.ID)
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("delete the record of the pod's init process: %w", err)
	}
	// What the runtime keeps of it goes with its task, unless the shim died.
	if err := os.RemoveAll(filepath.Join(m.paths.RuncRoot(), engine.Namespace, s.ID)); err != nil {
		return fmt.Errorf("remove what the runtime has of the pod's init process: %w", err)
	}
	return os.RemoveAll(m.paths.PodInit(s.ID))
}

// initEvent follows the init process: when it ends, its PID namespace and so the
// pod is of no use any more.
func (m *Manager) initEvent(s *Sandbox, r shim.Record) {
	switch r.State {
	case shim.StateRunning:
		s.set(func() { s.initPID = uint32(r.PID) })
	case shim.StateExited:
		if s.Phase() == Ready && !s.isStopping() {
			m.initLost(s)
		}
	}
}

// initLost marks the pod not ready, so that the kubelet makes a new one.
func (m *Manager) initLost(s *Sandbox) {
	klog.FromContext(m.ctx).Error(nil, "The pod's init process ended; the pod is not ready any more", "id", s.ID)
	s.set(func() { s.stopped, s.initPID = true, 0 })
	m.changed(s, runtimeapi.ContainerEventType_CONTAINER_STOPPED_EVENT)
}

func (s *Sandbox) isStopping() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.stopped
}
