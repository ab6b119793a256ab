package ocispec

import (
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/container/users"
	"github.com/berth-run/berth/internal/hostinfo"
)

// Input is everything the OCI spec of one container derives from.
type Input struct {
	// ContainerID is the container's 64 hex digits.
	ContainerID string
	// ContainerDir is an absolute host directory that lives as long as the
	// container. Image volumes become directories under ContainerDir/volumes;
	// Build names them in Output.Volumes and leaves creating them to the caller.
	ContainerDir string
	// Sandbox is the pod.
	Sandbox Sandbox
	// Config is the container as the CRI client asked for it; must have passed Validate.
	Config *runtimeapi.ContainerConfig
	// Image is the image the container runs from.
	Image Image
	// User is the answer of package users for UserSpec(Config, Sandbox.Config, Image).
	User users.Resolved
	// TargetPID is the init process of the container named by
	// namespace_options.target_id; used only with pid mode TARGET.
	TargetPID uint32
	// CgroupsPath is linux.cgroupsPath: "/parent/id" for cgroupfs, "slice:prefix:id" for systemd.
	CgroupsPath string
	// ImageMounts are the host directories of the mounts that have an image:
	// index in Config.Mounts → directory in which that image's root is mounted.
	ImageMounts map[int]string
	// Runtime is the handler the pod runs on.
	Runtime Runtime
	// Defaults are the node's configured defaults.
	Defaults Defaults
	// Host is what the machine can do; required.
	Host *hostinfo.Info
	// CDI injects CDI devices; nil means that CDI is switched off, and a
	// container that asks for a CDI device is refused.
	CDI CDIInjector
	// FS is how Build looks at the host; nil means the real one.
	FS HostFS

	// podProcess reports whether the process is the pod's own, which is no container of the pod: what the pod's
	// annotations ask for its containers is not meant for it.
	podProcess bool
}

// Sandbox is what a container takes from its pod.
type Sandbox struct {
	// ID is the pod's 64 hex digits.
	ID string
	// Config is the pod as the CRI client asked for it.
	Config *runtimeapi.PodSandboxConfig
	// Namespaces are the pod's pinned namespaces.
	Namespaces Namespaces
	// ShmPath is the pod's tmpfs for /dev/shm. Empty: /dev/shm of a host-IPC
	// pod is the host's, of any other pod a tmpfs of the container's own.
	ShmPath string
	// HostsPath, ResolvConfPath and HostnamePath are the pod's files for /etc.
	// An empty path leaves the image's own file.
	HostsPath, ResolvConfPath, HostnamePath string
	// ProcessLabel and MountLabel are the pod's SELinux labels from
	// SELinuxLabels; empty where SELinux is off.
	ProcessLabel, MountLabel string
	// RuntimeHandler is the name of the pod's runtime handler, for annotations.
	RuntimeHandler string
}

// Namespaces are paths of the pod's pinned namespaces.
//
// Net, IPC and UTS: empty means the host's. User: empty means the host's; the
// mappings come from the pod's userns_options. PID: the pod's shared PID
// namespace; needed only for containers with pid mode POD (a container whose
// mode is CONTAINER gets a new one whatever PID says, NODE the host's).
type Namespaces struct {
	Net, IPC, UTS, PID, User string
}

// Image is what a container takes from its image.
type Image struct {
	// Name is the reference the user gave, for annotations and messages.
	Name string
	// Config is the image's OCI configuration.
	Config ocispec.ImageConfig
}

// Runtime is what the pod's runtime handler allows and is configured to do.
type Runtime struct {
	// PrivilegedWithoutHostDevices keeps the host's devices out of privileged containers.
	PrivilegedWithoutHostDevices bool
	// PrivilegedWithoutHostDevicesAllDevicesAllowed goes with the former: the
	// device cgroup is open all the same.
	PrivilegedWithoutHostDevicesAllDevicesAllowed bool
	// BaseSpec replaces Berth's own starting point when it is not nil. Build never changes it.
	BaseSpec *specs.Spec
	// PodAnnotations and ContainerAnnotations are patterns (path.Match, a
	// trailing * also matches slashes) of the CRI annotations of the pod and of
	// the container that are copied to the OCI spec.
	PodAnnotations, ContainerAnnotations []string
	// CgroupWritable mounts /sys/fs/cgroup read-write in ordinary containers
	// too; only honoured on cgroup v2.
	CgroupWritable bool
	// Features are what the handler's binary can do, see hostinfo.QueryRuntime.
	Features hostinfo.RuntimeFeatures
}

// Defaults are node-wide settings that shape every container.
type Defaults struct {
	// Seccomp is the profile for containers whose request names none. The zero
	// value is "Unconfined", which is what the CRI says an empty profile means.
	Seccomp UnsetSeccomp
	// SeccompFile is, when not empty, a file of the node with the profile for containers
	// whose request names none; it takes the place of Seccomp.
	SeccompFile string
	// Capabilities are the capabilities of an unprivileged container before
	// add and drop, as "CAP_CHOWN". Nil means DefaultCapabilities().
	Capabilities []string
	// Ulimits are rlimits of every container, e.g. RLIMIT_NOFILE; nil leaves
	// those that the daemon has.
	Ulimits []specs.POSIXRlimit
	// DeviceOwnershipFromSecurityContext gives devices to run_as_user and run_as_group.
	DeviceOwnershipFromSecurityContext bool
	// RefuseMissingHugetlb makes a hugepage limit an error where the hugetlb
	// controller is missing. By default such limits are left out and reported
	// in Output.Warnings: the kubelet sends a zero limit for every page size of
	// the node with every container.
	RefuseMissingHugetlb bool
	// DisableHugetlb leaves hugepage limits out, silently.
	DisableHugetlb bool
	// PidsLimit limits the processes of each container; 0 is no limit (the
	// kubelet limits the pod's cgroup).
	PidsLimit int64
	// BlockIOClass and RDTClass apply where no annotation names another.
	BlockIOClass, RDTClass string
	// EnableRDT lets annotations name an RDT class; without it they are refused.
	EnableRDT bool
	// BlockIO translates a class name to OCI parameters (goresctrl's
	// blockio.OciLinuxBlockIO). Nil means not configured: a class that was asked
	// for by annotation is then refused.
	BlockIO func(class string) (*specs.LinuxBlockIO, error)
	// IgnoreImageVolumes makes VOLUME declarations of images have no effect.
	IgnoreImageVolumes bool
	// AppArmorProfile is the name of the loaded profile for "RuntimeDefault".
	// Empty means DefaultAppArmorProfile.
	AppArmorProfile string
	// DisableAppArmor and DisableSELinux switch them off on a host that has them.
	DisableAppArmor, DisableSELinux bool
}

// UnsetSeccomp is what a container gets that asks for no seccomp profile.
type UnsetSeccomp int

const (
	// SeccompUnconfined applies no filter.
	SeccompUnconfined UnsetSeccomp = iota
	// SeccompRuntimeDefault applies the runtime's default filter.
	SeccompRuntimeDefault
)

// CDIInjector adds CDI devices to a spec. *cdi.Cache of
// tags.cncf.io/container-device-interface implements it and rereads its
// directories by itself.
type CDIInjector interface {
	// InjectDevices adds fully qualified devices and answers those it does not know.
	InjectDevices(s *specs.Spec, devices ...string) (unresolved []string, err error)
}
