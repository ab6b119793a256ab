package ocispec

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Output is the OCI spec and what goes with it.
type Output struct {
	// Spec is the finished OCI spec.
	Spec *specs.Spec
	// Volumes are host directories to be made (and filled from the image) for
	// the volumes that the image declares, before the container is created.
	Volumes []Volume
	// Directories are bind sources that did not exist when the spec was made. Prepare makes them, and
	// they stay: they belong to the node, as any other host path.
	Directories []string `json:",omitempty"`
	// LoadAppArmor is the name of the default AppArmor profile that has to be
	// loaded (LoadAppArmorProfile) before the container is created; empty if none.
	LoadAppArmor string
	// Relabel are host paths that have to get the SELinux label MountLabel.
	Relabel []string
	// ProcessLabel and MountLabel are the container's SELinux labels, empty where SELinux is off.
	ProcessLabel, MountLabel string
	// StopSignal is the name of the signal that asks the container to end, e.g. "SIGTERM".
	StopSignal string
	// User is what ContainerStatus.user reports.
	User *runtimeapi.ContainerUser
	// RootfsReadonly repeats the read-only root flag for callers that prepare the snapshot.
	RootfsReadonly bool
	// UserNamespace are the mappings to remap the snapshot with; nil without a user namespace.
	UserNamespace *IDMappings
	// Warnings are things that were asked for and were ignored, or could only be had in part, one
	// sentence each: SELinux options on a node without SELinux, capabilities that the kernel does not
	// know, rlimits and OOM scores that were clamped, hugepage limits without a controller.
	Warnings []string
}

// Volume is an anonymous volume of an image.
type Volume struct {
	// HostPath is the directory on the host, under Input.ContainerDir.
	HostPath string
	// ContainerPath is where the image declares it.
	ContainerPath string
}

// IDMappings are the mappings of a user namespace.
type IDMappings struct {
	UIDs, GIDs []specs.LinuxIDMapping
}
