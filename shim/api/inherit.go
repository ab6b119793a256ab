package api

const (
	// EnvControlFD names the file descriptor of the control socket in the shim's environment.
	// Without it berth-shim behaves like any containerd shim.
	EnvControlFD = "BERTH_SHIM_CONTROL_FD"
	// TaskFD and ControlFD are the descriptors of the inherited listeners.
	TaskFD    = 3
	ControlFD = 4
)
