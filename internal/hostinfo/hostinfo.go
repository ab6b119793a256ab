// Package hostinfo finds out, once at start, what the machine and the runtime
// binary can do: cgroup layout, security modules, kernel features, and the
// privileges of this very process. Everything else asks the answer instead of
// probing the kernel again.
package hostinfo

import "slices"

// Info is what the machine can do. It is not changed after Detect.
type Info struct {
	// Kernel is the running kernel's version.
	Kernel KernelVersion
	// Cgroup is the cgroup layout.
	Cgroup Cgroup
	// Systemd is true where systemd is the init process (sd_booted(3)).
	Systemd bool
	// Swap is true where the cgroup controllers can limit swap.
	Swap bool
	// SwapTotal is the configured swap space in bytes.
	SwapTotal uint64
	// Seccomp is true where the kernel filters system calls.
	Seccomp bool
	// NoX32 is true where the kernel is known to run no programs of the x32 ABI.
	NoX32 bool
	// AppArmor is true where AppArmor is enabled in the kernel.
	AppArmor bool
	// AppArmorParser is true where apparmor_parser is installed, which loading
	// the runtime's default profile needs.
	AppArmorParser bool
	// SELinux is true where SELinux is enabled.
	SELinux bool
	// Resctrl is true where the resctrl filesystem (Intel RDT, AMD QoS) is mounted.
	Resctrl bool
	// Capabilities are the capabilities that the kernel knows, as "CAP_CHOWN", in kernel order.
	Capabilities []string
	// OwnCapabilities are those that this process has and can hand on (its
	// permitted set, limited by its bounding set).
	OwnCapabilities []string
	// OOMScoreAdj is this process's own /proc/self/oom_score_adj; without
	// CAP_SYS_RESOURCE no child can get a lower one.
	OOMScoreAdj int
	// Rlimits are this process's own limits by name ("RLIMIT_NOFILE").
	Rlimits map[string]Rlimit
	// UserNamespaces is true where user namespaces can be made.
	UserNamespaces bool
	// InUserNamespace is true where this process does not live in the initial user namespace.
	InUserNamespace bool
	// RecursiveReadOnly is true where the kernel has mount_setattr(AT_RECURSIVE) (5.12 and newer).
	RecursiveReadOnly bool
	// IDMapSyscall is true where the kernel has mount_setattr with
	// MOUNT_ATTR_IDMAP. Whether a filesystem supports it is asked by IDMapSupported.
	IDMapSyscall bool
	// Problems are facts that could not be found out, for Warnings.
	Problems []string
}

// Rlimit is a resource limit. Infinity is math.MaxUint64, as in setrlimit(2).
type Rlimit struct {
	Soft, Hard uint64
}

// KernelVersion is the version of the kernel.
type KernelVersion struct {
	Major, Minor int
	// Release is the whole string, as "uname -r" prints it.
	Release string
}

// AtLeast is true for this version and newer ones.
func (k KernelVersion) AtLeast(major, minor int) bool {
	return k.Major > major || (k.Major == major && k.Minor >= minor)
}

// HasCapability is true where this process can hand on the capability, named as "CAP_SYS_ADMIN".
func (i *Info) HasCapability(name string) bool {
	return slices.Contains(i.OwnCapabilities, name)
}

// CanRaiseLimits is true where rlimits can be raised and OOM scores lowered
// (CAP_SYS_RESOURCE in the initial user namespace).
func (i *Info) CanRaiseLimits() bool {
	return !i.InUserNamespace && i.HasCapability("CAP_SYS_RESOURCE")
}
