package cgroup

import (
	"context"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Detect finds the layout of the host. driver overrides the driver ("cgroupfs" or
// "systemd"); "" chooses systemd where it is init and manages the host, else cgroupfs.
// errdefs.ErrInvalidArgument for another word, errdefs.ErrFailedPrecondition for
// systemd where it does not run or where no cgroups are mounted.
func Detect(driver string) (*Host, error) { return nil, nil }

// ContainerPath is the OCI linux.cgroupsPath of a container: "/parent/<id>" for
// cgroupfs, "parent.slice:berth:<id>" for systemd.
func (h *Host) ContainerPath(parent, id string) string { return "" }

// PodParent is the cgroup parent of a pod: the one the kubelet gave in
// LinuxPodSandboxConfig.cgroup_parent, in the syntax of the driver in use, or
// one of our own below /berth when it gave none. own tells the two apart: only a
// parent of our own is made by EnsurePod and removed by RemovePod. A parent that
// leaves the tree ("..") is errdefs.ErrInvalidArgument.
func (h *Host) PodParent(given, podID string) (parent string, own bool, err error) {
	return "", false, nil
}

// Resolve gives the directories of an OCI linux.cgroupsPath or of a pod parent.
func (h *Host) Resolve(path string) Paths { return nil }

// EnsurePod makes the cgroup of a pod if it is our own (see PodParent); doing so twice is no error.
func (h *Host) EnsurePod(ctx context.Context, parent string) error { return nil }

// UpdatePod applies CRI's UpdatePodSandboxResources: resources plus overhead on the pod's
// cgroup. Nil messages and zero fields leave a value as it is.
func (h *Host) UpdatePod(ctx context.Context, parent string, resources, overhead *runtimeapi.LinuxContainerResources) error {
	return nil
}

// RemovePod ends what runs in a pod cgroup of our own and removes it with all below.
// One that is not there is no error; one that is not our own is left alone.
func (h *Host) RemovePod(ctx context.Context, parent string) error { return nil }

// KillAll sends SIGKILL to every process in the cgroup and below until none is left or ctx ends.
func (h *Host) KillAll(ctx context.Context, paths Paths) error { return nil }

// Remove removes the cgroup and all below it in every hierarchy. Processes that are left make it
// fail with errdefs.ErrFailedPrecondition; KillAll first. One that is not there is no error.
func (h *Host) Remove(ctx context.Context, paths Paths) error { return nil }
