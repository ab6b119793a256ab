package ocispec

import (
	"fmt"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// namespaces joins the pod's and makes those of the container's own.
func (b *builder) namespaces() error {
	ns := []specs.LinuxNamespace{{Type: specs.MountNamespace}}
	pod := b.in.Sandbox.Namespaces
	for _, n := range []specs.LinuxNamespace{
		{Type: specs.NetworkNamespace, Path: pod.Net},
		{Type: specs.IPCNamespace, Path: pod.IPC},
		{Type: specs.UTSNamespace, Path: pod.UTS},
	} {
		// Not naming a type means the host's.
		if n.Path != "" {
			ns = append(ns, n)
		}
	}
	pid, err := b.pidNamespace()
	if err != nil {
		return err
	}
	if pid != nil {
		ns = append(ns, *pid)
	}
	if b.cgroupNamespace() {
		ns = append(ns, specs.LinuxNamespace{Type: specs.CgroupNamespace})
	}
	if b.userns != nil {
		if pod.User == "" {
			return fmt.Errorf("the pod has mappings but no user namespace was made for it: %w", errdefs.ErrFailedPrecondition)
		}
		ns = append(ns, specs.LinuxNamespace{Type: specs.UserNamespace, Path: pod.User})
		b.s.Linux.UIDMappings, b.s.Linux.GIDMappings = b.userns.UIDs, b.userns.GIDs
	}
	b.s.Linux.Namespaces = ns
	return nil
}

// pidNamespace is the container's own, another container's, the pod's, or nil for the host's.
func (b *builder) pidNamespace() (*specs.LinuxNamespace, error) {
	n := &specs.LinuxNamespace{Type: specs.PIDNamespace}
	podMode := b.in.Sandbox.Config.GetLinux().GetSecurityContext().GetNamespaceOptions().GetPid()
	mode := podMode
	if o := b.sc.GetNamespaceOptions(); o != nil {
		mode = o.GetPid()
	}
	switch {
	case mode == runtimeapi.NamespaceMode_CONTAINER:
		return n, nil
	case mode == runtimeapi.NamespaceMode_TARGET:
		if b.in.TargetPID == 0 {
			return nil, fmt.Errorf("the target container %q is not running: %w", b.sc.GetNamespaceOptions().GetTargetId(), errdefs.ErrFailedPrecondition)
		}
		n.Path = fmt.Sprintf("/proc/%d/ns/pid", b.in.TargetPID)
		return n, nil
	case mode == runtimeapi.NamespaceMode_NODE, podMode == runtimeapi.NamespaceMode_NODE:
		return nil, nil
	case b.in.Sandbox.Namespaces.PID == "":
		return nil, fmt.Errorf("the pod has no shared PID namespace; make it with pid mode POD, or the container with CONTAINER: %w", errdefs.ErrFailedPrecondition)
	}
	n.Path = b.in.Sandbox.Namespaces.PID
	return n, nil
}

// cgroupNamespace is true where the container shall see its own cgroup as the
// root. On v1 that hides nothing, and privileged containers manage cgroups.
func (b *builder) cgroupNamespace() bool {
	return b.in.Host.Cgroup.IsV2() && !b.sc.Privileged
}

// UserNamespace are the mappings of a pod's user namespace (KEP-127), nil for
// a pod that uses the node's. What the kubelet never sends and nothing here
// handles (several ranges, no mapping of root, differing UIDs and GIDs) is
// ErrInvalidArgument.
func UserNamespace(pod *runtimeapi.PodSandboxConfig) (*IDMappings, error) {
	o := pod.GetLinux().GetSecurityContext().GetNamespaceOptions().GetUsernsOptions()
	if o == nil || o.GetMode() == runtimeapi.NamespaceMode_NODE {
		if len(o.GetUids()) > 0 || len(o.GetGids()) > 0 {
			return nil, fmt.Errorf("pod %s: userns_options has mappings, but mode NODE: %w", podName(pod), errdefs.ErrInvalidArgument)
		}
		return nil, nil
	}
	if o.GetMode() != runtimeapi.NamespaceMode_POD {
		return nil, fmt.Errorf("pod %s: userns_options.mode %s is not supported, only POD and NODE: %w", podName(pod), o.GetMode(), errdefs.ErrInvalidArgument)
	}
	uids, err := idMapping("uids", o.GetUids())
	if err != nil {
		return nil, fmt.Errorf("pod %s: userns_options.%w", podName(pod), err)
	}
	gids, err := idMapping("gids", o.GetGids())
	if err != nil {
		return nil, fmt.Errorf("pod %s: userns_options.%w", podName(pod), err)
	}
	return &IDMappings{UIDs: uids, GIDs: gids}, nil
}

// idMapping is the one range that a pod has.
func idMapping(field string, m []*runtimeapi.IDMapping) ([]specs.LinuxIDMapping, error) {
	if len(m) != 1 {
		return nil, fmt.Errorf("%s: exactly one mapping is supported, not %d: %w", field, len(m), errdefs.ErrInvalidArgument)
	}
	if m[0].GetContainerId() != 0 {
		return nil, fmt.Errorf("%s: the mapping has to start at container ID 0, not %d: %w", field, m[0].GetContainerId(), errdefs.ErrInvalidArgument)
	}
	if m[0].GetLength() == 0 || uint64(m[0].GetHostId())+uint64(m[0].GetLength()) > 1<<32 {
		return nil, fmt.Errorf("%s: the mapping of %d IDs from host ID %d is empty or too long: %w", field, m[0].GetLength(), m[0].GetHostId(), errdefs.ErrInvalidArgument)
	}
	return idMappings(m), nil
}

func idMappings(m []*runtimeapi.IDMapping) []specs.LinuxIDMapping {
	var out []specs.LinuxIDMapping
	for _, x := range m {
		out = append(out, specs.LinuxIDMapping{ContainerID: x.GetContainerId(), HostID: x.GetHostId(), Size: x.GetLength()})
	}
	return out
}
