package hostinfo

import "fmt"

// requiredControllers are those without which limits of pods have no effect.
var requiredControllers = []struct{ name, effect string }{
	{"cpu", "CPU requests and limits have no effect"},
	{"cpuset", "CPU and memory pinning has no effect"},
	{"memory", "memory limits have no effect"},
	{"pids", "limits on the number of processes have no effect"},
}

// Warnings are sentences for an administrator, about what is missing on this
// host and what that means for pods. They appear in the log at start and in
// the verbose Status.
func (i *Info) Warnings() []string {
	var w []string
	add := func(cond bool, format string, args ...any) {
		if cond {
			w = append(w, fmt.Sprintf(format, args...))
		}
	}
	for _, c := range requiredControllers {
		add(!i.Cgroup.Has(c.name), "The cgroup controller %s is missing: %s.", c.name, c.effect)
	}
	add(!i.Cgroup.Has("hugetlb"), "The cgroup controller hugetlb is missing: hugepage limits are left out.")
	add(i.Cgroup.Mode != CgroupV2, "The host uses cgroup %s: Kubernetes features that need cgroup v2 (memory QoS, PSI, unified keys) are not available.", i.Cgroup.Mode)
	add(!i.Swap, "The memory controller does not account for swap: swap limits are left out.")
	add(!i.Seccomp, "The kernel has no seccomp filters: containers that ask for a profile are refused.")
	add(!i.AppArmor, "AppArmor is not enabled in the kernel: containers that ask for a profile are refused.")
	add(i.AppArmor && !i.AppArmorParser, "apparmor_parser is not installed: the default AppArmor profile cannot be loaded; install the package apparmor.")
	add(!i.CanRaiseLimits(), "This process has no CAP_SYS_RESOURCE: resource limits cannot be raised above its own, and OOM scores not lowered below %d; such values are clamped.", i.OOMScoreAdj)
	add(i.InUserNamespace, "This process runs inside a user namespace: devices and some mounts are not available to containers.")
	add(!i.UserNamespaces, "User namespaces are disabled: pods with hostUsers: false are refused.")
	add(!i.RecursiveReadOnly, "Kernel %s has no mount_setattr (5.12 and newer): recursive read-only mounts are refused.", i.Kernel.Release)
	return append(w, i.Problems...)
}
