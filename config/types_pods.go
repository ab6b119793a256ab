package config

// CNI is the section [cni].
type CNI struct {
	// Directory with the network configuration (*.conflist, *.conf, *.json), which
	// is watched. Default: /etc/cni/net.d, or <root>/cni/net.d when state is not
	// /run/berth.
	ConfDir string `toml:"conf_dir"`
	// Directories with the plugins, first match wins. Default: the plugins shipped
	// with berthd, then /opt/cni/bin.
	BinDirs []string `toml:"bin_dirs"`
	// How many configurations of conf_dir a pod is attached to (as eth0, eth1, ...), in lexical order;
	// 0 is all of them. The pod's addresses are the first one's. Files that cannot be used are left
	// out and do not count; one that names a network of an earlier file is such a file.
	MaxConfs int `toml:"max_confs"`
	// How long the plugins of one network may take for ADD.
	AddTimeout Duration `toml:"add_timeout"`
	// The same for DEL.
	DelTimeout Duration `toml:"del_timeout"`
	// The same for GC; pods that start meanwhile wait for it.
	GCTimeout Duration `toml:"gc_timeout"`
	// The same for STATUS.
	StatusTimeout Duration `toml:"status_timeout"`
	// How often plugins are asked for their STATUS, and conf_dir is read in
	// addition to being watched.
	StatusInterval Duration `toml:"status_interval"`
	// How often plugins are told which attachments exist (GC); 0 only at start.
	GCInterval Duration `toml:"gc_interval"`
	// Longest pause between two attempts of a DEL that keeps failing.
	DelRetryMax Duration `toml:"del_retry_max"`
	// After how long a DEL that keeps failing is given up; 0 is never. All plugins that are left are then run a last
	// time. What a plugin that fails again holds outside of the pod stays; addresses of the built-in network are given
	// back. `berthd cni give-up` does it at once.
	DelGiveUp Duration `toml:"del_give_up"`
	// Which of a pod's addresses is its primary one: "cni" (the first that the
	// plugins gave), "ipv4" or "ipv6".
	IPPreference string `toml:"ip_preference"`
	// The network used while conf_dir holds no configuration.
	DefaultNetwork DefaultNetwork `toml:"default_network"`
}

// DefaultNetwork is the section [cni.default_network].
type DefaultNetwork struct {
	// Bring up a bridge network while conf_dir holds no configuration.
	Enabled bool `toml:"enabled"`
	// Name of the bridge, at most 10 characters. Default: berth0, or a name derived from state when that
	// is not /run/berth.
	Bridge string `toml:"bridge"`
	// Address ranges of the pods, at most one IPv4 and one IPv6. Default:
	// 10.98.0.0/16 and fd62:6572:7468:98::/64, or ranges derived from state when that is
	// not /run/berth. A pod CIDR from UpdateRuntimeConfig wins.
	Subnets []string `toml:"subnets"`
	// MTU of the pods' interfaces; 0 lets the kernel choose.
	MTU int `toml:"mtu"`
	// What masquerades and maps host ports: "nftables", "iptables", or "auto":
	// nftables where the nft tool is installed.
	Backend string `toml:"backend"`
}

// Image is the section [image].
type Image struct {
	// Directory with <host>/hosts.toml files: mirrors, certificates, headers.
	// Default: /etc/containerd/certs.d, or <root>/certs.d when state is not
	// /run/berth.
	RegistryConfigDir string `toml:"registry_config_dir"`
	// Pulls that work at the same time; further ones wait. A pull that gets less than
	// 64 KiB in a second does not count while others wait, and the pulls of several
	// registries get equal shares.
	MaxConcurrentPulls int `toml:"max_concurrent_pulls"`
	// Layers of one image fetched at the same time.
	MaxConcurrentDownloads int `toml:"max_concurrent_downloads"`
	// Layers unpacked at the same time, over all pulls; 0 is one for each CPU, at
	// least 2.
	MaxConcurrentUnpacks int `toml:"max_concurrent_unpacks"`
	// What the layers of an image may take on disk, in bytes; 0 is no bound. The pull of
	// an image that needs more fails, and leaves nothing. The default keeps an image of
	// a few kilobytes that unpacks to terabytes from a large disk; real images stay
	// far below it.
	MaxUnpackedSize int64 `toml:"max_unpacked_size"`
	// How long one registry host may take to answer before its body comes.
	ResolveTimeout Duration `toml:"resolve_timeout"`
	// A registry host is given up, and the next one asked for the rest, when it
	// stays below min_throughput for so long.
	ProgressTimeout Duration `toml:"progress_timeout"`
	// The floor under a transfer, in bytes a second.
	MinThroughput int64 `toml:"min_throughput"`
	// Longest a whole pull may take, waiting for its turn included.
	PullTimeout Duration `toml:"pull_timeout"`
	// Longest the removal of an image may take, with the garbage collection that
	// follows.
	RemoveTimeout Duration `toml:"remove_timeout"`
	// Drop the compressed layers once they are unpacked. Saves disk space; pushing
	// the image or unpacking it for another snapshotter then needs a new pull.
	DiscardUnpackedLayers bool `toml:"discard_unpacked_layers"`
	// Images reported as pinned, which the kubelet's garbage collection then
	// leaves: references, a trailing * matching any end.
	Pinned []string `toml:"pinned"`
}

// Pod is the section [pod].
type Pod struct {
	// Pods started at the same time; further ones wait their turn. Pods on the
	// host's network are counted apart. 0 is two for each CPU, at least 4.
	MaxConcurrentStarts int `toml:"max_concurrent_starts"`
	// Longest RunPodSandbox, StopPodSandbox or RemovePodSandbox may work after
	// their caller is gone, besides the bounds of the single stages.
	OperationTimeout Duration `toml:"operation_timeout"`
	// Size of a pod's /dev/shm in bytes.
	ShmSize int64 `toml:"shm_size"`
	// How long berthd waits at its own end for calls that are under way, and then once more for work whose callers have
	// left.
	DrainTimeout Duration `toml:"drain_timeout"`
}

// Container is the section [container].
type Container struct {
	// Containers created or started at the same time; further ones wait their
	// turn. 0 is two for each CPU, at least 4.
	MaxConcurrentStarts int `toml:"max_concurrent_starts"`
	// Longest part of a line that is written to the log as one entry, in bytes;
	// longer lines are split and tagged P.
	MaxLogLineSize int `toml:"max_log_line_size"`
	// How long ExecSync goes on reading output that a child of the command holds
	// open, once the command itself has ended; Exec as long as some comes in each such time.
	ExecDrainTimeout Duration `toml:"exec_drain_timeout"`
	// Most output of ExecSync that is kept, for each of stdout and stderr, in
	// bytes. The rest is read and dropped, and the end of stderr says how much is missing. Both
	// together are kept below the 16 MiB of a gRPC message, and the output of all calls at a time
	// below 64 MiB: a call that comes when they are used up keeps 64 KiB of each.
	ExecMaxOutput int64 `toml:"exec_max_output"`
	// How long a container that was sent SIGKILL may take to end before Stop
	// reports a failure.
	KillTimeout Duration `toml:"kill_timeout"`
	// Let containers without NET_BIND_SERVICE listen on ports below 1024, by
	// net.ipv4.ip_unprivileged_port_start in pods with a network of their own.
	EnableUnprivilegedPorts bool `toml:"enable_unprivileged_ports"`
	// Let containers without NET_RAW send ICMP echo requests, by
	// net.ipv4.ping_group_range in pods with a network of their own.
	EnableUnprivilegedICMP bool `toml:"enable_unprivileged_icmp"`
	// Give the devices of a container to the user and group it runs as.
	DeviceOwnershipFromSecurityContext bool `toml:"device_ownership_from_security_context"`
	// Leave out hugepage limits that the kernel does not know rather than failing.
	TolerateMissingHugetlb bool `toml:"tolerate_missing_hugetlb"`
	// YAML file with the block-IO classes that containers may ask for by annotation of
	// their pod (blockio.resources.beta.kubernetes.io/pod, or /container.NAME), see goresctrl's
	// documentation; empty refuses such containers.
	BlockIOConfigFile string `toml:"block_io_config_file"`
	// Let pods choose the RDT class of their containers by annotation
	// (rdt.resources.beta.kubernetes.io/pod, or /container.NAME); needs resctrl. Without it such containers are
	// refused, since every pod could take the cache and memory bandwidth that others are
	// meant to have.
	EnableRDT bool `toml:"enable_rdt"`
	// Resource limits (rlimits) of containers: name = "soft:hard" or one number
	// for both, "unlimited" for none, such as nofile = "1024:524288". Unset ones
	// are berthd's own.
	Ulimits map[string]Ulimit `toml:"ulimits"`
}
