package budget

// What one request may bring into a container's OCI specification. Neither containerd nor CRI-O
// bounds these lists, so the values are far above every real workload: they bound work, not taste. One
// more than a bound is InvalidArgument, which names the field.
const (
	// Env bounds the variables of the image and of the request, in entries of each. The kernel
	// takes arguments and environment of a quarter of the stack limit together (2 MiB), which
	// 100,000 variables of 20 bytes fill.
	Env = 100_000

	// Arguments bounds command and arguments together, of the image and of the request, in
	// entries of each; the kernel's bound of 2 MiB again.
	Arguments = 100_000

	// Mounts bounds the mounts of a request and the volumes of an image, in entries of each. The
	// kernel takes 100,000 mounts in a mount namespace (fs.mount-max).
	Mounts = 10_000

	// Devices bounds the devices of a request, and its CDI devices, in entries of each.
	Devices = 10_000

	// Annotations bounds the annotations of a pod or container, in entries. Kubernetes admits
	// 256 KiB of them.
	Annotations = 50_000

	// Sysctls bounds the sysctls of a pod, in entries.
	Sysctls = 1_000

	// PortMappings bounds the port mappings of a pod, in entries. Each is compared with the others, and
	// becomes several packet filter rules.
	PortMappings = 8_192

	// Capabilities bounds each list of capability names of a request, in entries.
	Capabilities = 1_000

	// HiddenPaths bounds masked_paths and readonly_paths, in entries of each.
	HiddenPaths = 10_000

	// Groups bounds supplemental_groups, in entries, and the groups of a process together with those that its
	// image gives it: what the kernel takes (NGROUPS_MAX).
	Groups = 65_536

	// Notes bounds what a container's or pod's verbose status says was ignored, in sentences.
	Notes = 32
)
