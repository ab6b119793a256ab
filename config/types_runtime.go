package config

// Runtime is the section [runtime].
type Runtime struct {
	// Handler of pods that name none.
	DefaultHandler string `toml:"default_handler"`
	// The handlers by name. "runc" exists without being written down.
	Handlers map[string]Handler `toml:"handlers"`
}

// Handler is a section [runtime.handlers.NAME]: a way to run pods. With shim
// empty the pod gets Berth's own shim, which drives an OCI runtime binary with
// runc's command line; otherwise the containerd shim that is named.
type Handler struct {
	// OCI runtime binary with runc's command line: an absolute path, or a name to
	// look up beside berthd, in its libexec directory and in PATH. Default: the
	// handler's name. Not with shim.
	Path string `toml:"path"`
	// Name of a containerd shim ("io.containerd.kata.v2") or absolute path of its
	// binary, for a runtime that needs its own.
	Shim string `toml:"shim"`
	// What the shim is configured with.
	Options HandlerOptions `toml:"options"`
	// "auto" (as cgroup.driver), "systemd" or "cgroupfs".
	CgroupDriver CgroupDriver `toml:"cgroup_driver"`
	// Snapshotter of this handler's pods; empty is containerd.snapshotter.
	Snapshotter string `toml:"snapshotter"`
	// JSON file with the OCI runtime specification to start from; empty is the
	// built-in one.
	BaseSpec string `toml:"base_spec"`
	// Give privileged containers no host devices, only the default ones.
	PrivilegedWithoutHostDevices bool `toml:"privileged_without_host_devices"`
	// Pod annotations handed to the runtime in the OCI specification; shell
	// patterns such as "io.katacontainers.*".
	PodAnnotations []string `toml:"pod_annotations"`
	// Container annotations handed to the runtime in the OCI specification; shell
	// patterns.
	ContainerAnnotations []string `toml:"container_annotations"`
	// Whether pods of this handler may have user namespaces: "auto" asks the
	// kernel and the runtime, "yes", "no".
	UserNamespaces Tristate `toml:"user_namespaces"`
	// How long an operation of this handler's shim or runtime may take (create,
	// start, kill, delete).
	Timeout Duration `toml:"timeout"`
}

// HandlerOptions is a section [runtime.handlers.NAME.options]: the options
// message that a containerd shim gets with its create request.
type HandlerOptions struct {
	// Type URL of the options message; empty chooses by shim: runc's options for
	// io.containerd.runc.v2, the generic ones (config_path, config_body) for all
	// others.
	TypeURL string `toml:"type_url"`
	// Configuration file of the shim, for the generic options.
	ConfigPath string `toml:"config_path"`
	// Configuration of the shim itself, in place of config_path.
	ConfigBody string `toml:"config_body"`
	// OCI runtime binary, for shims that take runc's options.
	BinaryName string `toml:"binary_name"`
}
