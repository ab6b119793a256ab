package hostinfo

// CgroupMode is the way cgroups are mounted.
type CgroupMode int

const (
	// CgroupV1 is one hierarchy for each controller.
	CgroupV1 CgroupMode = iota + 1
	// CgroupHybrid is v1 for controllers, with a v2 hierarchy (usually without
	// controllers) beside them. For the OCI runtime it is v1.
	CgroupHybrid
	// CgroupV2 is the unified hierarchy alone.
	CgroupV2
)

// String is "v1", "hybrid" or "v2".
func (m CgroupMode) String() string {
	switch m {
	case CgroupV1:
		return "v1"
	case CgroupHybrid:
		return "hybrid"
	case CgroupV2:
		return "v2"
	}
	return "unknown"
}

// Cgroup is the cgroup layout.
type Cgroup struct {
	Mode CgroupMode
	// Root is where the hierarchies are mounted, "/sys/fs/cgroup".
	Root string
	// Controllers maps every usable controller ("cpu", "memory", "hugetlb",
	// "pids", ...; on v1 also "name=systemd") to its mount point.
	Controllers map[string]string
	// Unified is the mount point of the v2 hierarchy; empty on pure v1.
	Unified string
}

// IsV2 is true where the OCI runtime uses cgroup v2.
func (c Cgroup) IsV2() bool { return c.Mode == CgroupV2 }

// Has is true where the controller can be used.
func (c Cgroup) Has(controller string) bool {
	_, ok := c.Controllers[controller]
	return ok
}
