package cgroup

// DefaultRoot is where every supported distribution mounts cgroups.
const DefaultRoot = "/sys/fs/cgroup"

// Driver says who owns the cgroup tree: CRI's CgroupDriver in RuntimeConfig.
type Driver string

const (
	// Cgroupfs makes and removes cgroup directories itself.
	Cgroupfs Driver = "cgroupfs"
	// Systemd asks systemd for slices and scopes, since a host whose tree
	// systemd manages must not have a second writer.
	Systemd Driver = "systemd"
)

// Mode is the layout of the cgroup mounts.
type Mode string

const (
	// Legacy is cgroup v1: one hierarchy for each controller.
	Legacy Mode = "v1"
	// Hybrid is cgroup v1 with an additional, controller-less v2 hierarchy.
	Hybrid Mode = "hybrid"
	// Unified is cgroup v2.
	Unified Mode = "v2"
)

// Host is the cgroup layout of this host, found once at start-up and constant
// afterwards. It is safe for concurrent use.
type Host struct {
	// Root is where cgroups are mounted, DefaultRoot outside of tests.
	Root string
	// Driver is the driver in use.
	Driver Driver
	// Mode is the layout of the mounts.
	Mode Mode
	// Controllers maps each v1 controller ("memory", "name=systemd") to its
	// mount point below Root. It is empty in Unified mode.
	Controllers map[string]string
}
