package ocispec

import (
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/container/users"
)

// PodProcessPath is where a pod's own process has its program, in its own root.
const PodProcessPath = "/berth-init"

// PodProcess makes the OCI spec of the process that a pod has of its own: process 1 of a shared
// PID namespace, or with foreign what a VM or another kernel makes its sandbox for. binary is the
// program on the host. in.Config, in.Image and in.User are made here.
//
// Containers of the pod see process 1, and those that have CAP_SYS_PTRACE can take it over. So it is
// worth nothing: an unprivileged user, no capabilities, a read-only root of one file, no /sys and a
// /proc with the usual masks (through /proc/1/root it would be the way around a container's own;
// OCI runtimes need one), and a filter that leaves the few system calls which it makes. The masks and the filter of a foreign
// runtime are those of its containers: what is process 1 there, only that runtime knows.
func PodProcess(in Input, binary string, foreign bool) (*Output, error) {
	id := podProcessID(in.Sandbox.Config)
	in.User = users.Resolved{UID: id, GID: id}
	if foreign {
		in.User = users.Resolved{}
	} else {
		in.Runtime.BaseSpec = nil // hooks and mounts of it are meant for containers
	}
	in.Config = podProcessConfig(in.Sandbox.Config, binary)
	in.podProcess = true
	out, err := Build(in)
	if err != nil {
		return nil, err
	}
	out.Spec.Annotations = SandboxAnnotations(in.Sandbox.ID, in.Sandbox.Config, in.Runtime)
	if foreign {
		return out, nil
	}
	out.Spec.Mounts = slices.DeleteFunc(out.Spec.Mounts, func(m specs.Mount) bool {
		return m.Destination != "/proc" && m.Destination != "/dev" && m.Destination != PodProcessPath
	})
	for i, m := range out.Spec.Mounts {
		if m.Destination == "/dev" {
			out.Spec.Mounts[i].Options = append(slices.Clone(m.Options), "noexec", "ro")
		}
	}
	out.Spec.Linux.Seccomp = nil
	if in.Host.Seccomp && (!in.Runtime.Features.Known || in.Runtime.Features.Seccomp) {
		out.Spec.Linux.Seccomp = podProcessFilter()
	}
	return out, nil
}

// podProcessConfig is the process as a container without any privilege.
func podProcessConfig(pod *runtimeapi.PodSandboxConfig, binary string) *runtimeapi.ContainerConfig {
	o := pod.GetLinux().GetSecurityContext().GetNamespaceOptions()
	return &runtimeapi.ContainerConfig{
		Metadata: &runtimeapi.ContainerMetadata{Name: "POD"},
		Image:    &runtimeapi.ImageSpec{},
		Command:  []string{PodProcessPath},
		Mounts:   []*runtimeapi.Mount{{ContainerPath: PodProcessPath, HostPath: binary, Readonly: true, MountOptions: []string{"nosuid", "nodev"}}},
		Linux: &runtimeapi.LinuxContainerConfig{SecurityContext: &runtimeapi.LinuxContainerSecurityContext{
			// The pod's namespaces, with a PID namespace of the process's own, which the pod then shares.
			NamespaceOptions: &runtimeapi.NamespaceOption{
				Network:       o.GetNetwork(),
				Ipc:           o.GetIpc(),
				Pid:           runtimeapi.NamespaceMode_CONTAINER,
				UsernsOptions: o.GetUsernsOptions(),
			},
			NoNewPrivs:     true,
			ReadonlyRootfs: true,
			Capabilities:   &runtimeapi.Capability{DropCapabilities: []string{allCapabilities}},
			MaskedPaths:    defaultMaskedPaths(),
			ReadonlyPaths:  defaultReadonlyPaths(),
		}},
	}
}

// podProcessUID is the user that Kubernetes's own pause image has, too: no distribution gives it away.
const podProcessUID = 65535

// podProcessID is the user and group of the process: in a pod's user namespace the last one
// that is mapped, if podProcessUID is not.
func podProcessID(pod *runtimeapi.PodSandboxConfig) uint32 {
	u := pod.GetLinux().GetSecurityContext().GetNamespaceOptions().GetUsernsOptions()
	id := uint32(podProcessUID)
	for _, maps := range [][]*runtimeapi.IDMapping{u.GetUids(), u.GetGids()} {
		if len(maps) == 1 && maps[0].GetLength() > 0 { // what else there is, UserNamespace refuses
			id = min(id, maps[0].GetLength()-1)
		}
	}
	return id
}

// defaultMaskedPaths and defaultReadonlyPaths are what the kubelet sends with every container whose
// procMount is "Default".
func defaultMaskedPaths() []string {
	return []string{
		"/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
		"/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap",
	}
}

func defaultReadonlyPaths() []string {
	return []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
}
