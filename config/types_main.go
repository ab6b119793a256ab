package config

// Config is the whole configuration. Its fields are read-only after Load; every
// part of Berth is handed the section it needs.
type Config struct {
	// Directory of everything that must survive a reboot: containerd's content,
	// snapshots and metadata, volumes of images.
	Root string `toml:"root"`

	// Directory of what a reboot destroys anyway: sockets, pinned namespaces, pod
	// files. It belongs on a tmpfs. An instance whose state directory is not
	// /run/berth is taken for one of several on this host: the defaults of
	// address, metrics.address, cni.conf_dir, cni.default_network,
	// image.registry_config_dir and cdi.spec_dirs then follow root and state, so
	// that it neither reads nor writes what belongs to another one.
	State string `toml:"state"`

	// Unix socket of the CRI API. A leading unix:// is accepted. Default:
	// <state>/berth.sock.
	Address string `toml:"address"`

	// What berthd writes to standard error.
	Log Log `toml:"log"`
	// HTTP endpoint of /metrics and /healthz.
	Metrics Metrics `toml:"metrics"`
	// HTTP endpoint of exec, attach and port-forward.
	Streaming Streaming `toml:"streaming"`
	// The containerd underneath.
	Containerd Containerd `toml:"containerd"`
	// Runtime handlers, what a RuntimeClass of Kubernetes names.
	Runtime Runtime `toml:"runtime"`
	// Control groups.
	Cgroup Cgroup `toml:"cgroup"`
	// Pod networks.
	CNI CNI `toml:"cni"`
	// Images and registries.
	Image Image `toml:"image"`
	// Pod sandboxes.
	Pod Pod `toml:"pod"`
	// Containers.
	Container Container `toml:"container"`
	// Node-wide security settings.
	Security Security `toml:"security"`
	// Container Device Interface.
	CDI CDI `toml:"cdi"`

	// origins says for each dotted key where its value comes from; keys that
	// nobody set are absent.
	origins map[string]Origin
	// retired are keys that were read and do nothing any more.
	retired []Problem
}

// Log is the section [log].
type Log struct {
	// Lowest level written: "error", "warn", "info", "debug" or "trace".
	Level string `toml:"level"`
	// "text" (klog's format) or "json" (one object a line).
	Format string `toml:"format"`
}

// Metrics is the section [metrics].
type Metrics struct {
	// HOST:PORT or unix:///path.sock; empty switches the endpoint off. Default:
	// 127.0.0.1:9945, or a free port when state is not /run/berth.
	Address string `toml:"address"`
	// File with the token that /metrics asks for ("Authorization: Bearer TOKEN"). If it does not exist, it
	// is made with a random token that root alone can read. Empty lets in whoever reaches the address.
	// /healthz and /readyz need no token.
	TokenFile string `toml:"token_file"`
	// PEM file with the server certificate (and its chain); HTTPS is spoken when
	// it is set.
	TLSCertFile string `toml:"tls_cert_file"`
	// PEM file with the key of tls_cert_file.
	TLSKeyFile string `toml:"tls_key_file"`
	// PEM file with the authorities whose client certificates are let in; empty
	// lets in every client.
	TLSClientCAFile string `toml:"tls_client_ca_file"`
}

// Streaming is the section [streaming].
type Streaming struct {
	// Host name or IP address to listen on. Clients are sent there by the URLs
	// that Exec, Attach and PortForward return; each can be used once, within a
	// minute.
	Address string `toml:"address"`
	// TCP port; 0 takes a free one that no pod publishes. berthd does not start at a port that a pod publishes.
	Port int `toml:"port"`
	// How long a stream may be silent before it is closed.
	IdleTimeout Duration `toml:"idle_timeout"`
	// How long a client has to open the streams it announced.
	CreationTimeout Duration `toml:"creation_timeout"`
	// How long a connection to a pod's port may take (port-forward).
	DialTimeout Duration `toml:"dial_timeout"`
	// PEM file with the server certificate (and its chain). Required with its key
	// when address is not a loopback address.
	TLSCertFile string `toml:"tls_cert_file"`
	// PEM file with the key of tls_cert_file.
	TLSKeyFile string `toml:"tls_key_file"`
	// PEM file with the authorities whose client certificates are let in; empty
	// lets in every client that has a URL.
	TLSClientCAFile string `toml:"tls_client_ca_file"`
}

// Containerd is the section [containerd].
type Containerd struct {
	// Socket of a containerd to use; empty runs one inside berthd.
	Address string `toml:"address"`
	// Snapshotter of images and containers, unless the handler names another one.
	Snapshotter string `toml:"snapshotter"`
	// How long to wait for containerd at start, embedded or external.
	ConnectTimeout Duration `toml:"connect_timeout"`
	// Upper bound of a single call to containerd or a shim that carries no
	// deadline of its own.
	CallTimeout Duration `toml:"call_timeout"`
}

// Cgroup is the section [cgroup].
type Cgroup struct {
	// "systemd", "cgroupfs", or "auto": systemd where systemd manages the host.
	// RuntimeConfig tells the kubelet which one is used.
	Driver CgroupDriver `toml:"driver"`
}

// Security is the section [security].
type Security struct {
	// Seccomp profile of containers whose request names none: "unconfined",
	// "runtime/default", or "localhost/<absolute path>" of a file in OCI's format. It is
	// checked at the start, and read for each container.
	UnsetSeccompProfile string `toml:"unset_seccomp_profile"`
	// Capabilities of containers before their request adds and drops some, such as
	// ["CHOWN", "NET_BIND_SERVICE"]; an empty list is none. The default is what Docker and
	// containerd give. A handler's base_spec has its own.
	DefaultCapabilities []string `toml:"default_capabilities"`
	// Leave AppArmor alone even where the kernel has it.
	DisableAppArmor bool `toml:"disable_apparmor"`
	// Label containers where the kernel has SELinux enabled.
	EnableSELinux bool `toml:"enable_selinux"`
}

// CDI is the section [cdi].
type CDI struct {
	// Directories with CDI specifications; later ones win. Default: /etc/cdi and
	// /var/run/cdi, or <root>/cdi when state is not /run/berth. An empty list
	// switches CDI off.
	SpecDirs []string `toml:"spec_dirs"`
}
