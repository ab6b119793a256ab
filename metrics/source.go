package metrics

import (
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Source tells what there is to measure. All methods answer from memory, at
// once, and return slices that the caller may keep; the maps within must not be
// changed by either side.
type Source interface {
	// States appends the states of all that Pods and Containers list. Every caller asks for
	// them, a pass alone for the rest.
	States(pods, containers []State) (_, _ []State)
	// Pods lists all pod sandboxes, ready or not.
	Pods() []PodRef
	// Containers lists all containers of all states.
	Containers() []ContainerRef
}

// State is a pod sandbox or container, and its state in the numbers of the CRI.
type State struct {
	ID    string
	State int32
}

// PodRef is what the sampler must know of a pod sandbox.
type PodRef struct {
	// ID is the sandbox ID.
	ID string
	// Metadata is the CRI metadata of the pod: name, uid, namespace, attempt.
	Metadata *runtimeapi.PodSandboxMetadata
	// Labels and Annotations are those of the PodSandboxConfig, as lists report them.
	Labels, Annotations map[string]string
	// State is ready or not ready. Only ready pods are measured.
	State runtimeapi.PodSandboxState
	// RuntimeHandler is the name of the handler, "" for the default one.
	RuntimeHandler string
	// CgroupParent is the pod's cgroup as cgroup.Host.PodParent gave it.
	CgroupParent string
	// NetnsPath is the pinned network namespace; empty for a pod on the host's network,
	// which has no network figures of its own.
	NetnsPath string
	// DefaultInterface is the name of the pod's default interface, "" means eth0.
	DefaultInterface string
	// CreatedAt is when the sandbox was made.
	CreatedAt time.Time
}

// ContainerRef is what the sampler must know of a container.
type ContainerRef struct {
	// ID is the container ID and PodID that of its sandbox.
	ID, PodID string
	// Metadata is the CRI metadata of the container: name and attempt.
	Metadata *runtimeapi.ContainerMetadata
	// Labels and Annotations are those of the ContainerConfig, as lists report them.
	Labels, Annotations map[string]string
	// State is the CRI state. Only running containers are measured.
	State runtimeapi.ContainerState
	// Image is the reference the user gave, for the image label.
	Image string
	// CgroupPath is the container's OCI linux.cgroupsPath.
	CgroupPath string
	// InitPID is the host's pid of the container's first process, 0 when not running.
	InitPID uint32
	// Snapshotter and SnapshotKey name the writable layer.
	Snapshotter, SnapshotKey string
	// CreatedAt and StartedAt are times of the container's life; StartedAt is zero until it started.
	CreatedAt, StartedAt time.Time
	// Foreign says that the container's shim may run it where this host has no cgroup of it.
	Foreign bool
	// OOMKills counts the processes of a container that has exited which were killed for
	// its memory limit; of a running one the kernel tells.
	OOMKills uint64
}
