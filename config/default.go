package config

import "time"

// The places used when nothing else is said.
const (
	// DefaultFile is read when --config is not given, and may be missing.
	DefaultFile = "/etc/berth/config.toml"
	// DefaultRoot is the default of root.
	DefaultRoot = "/var/lib/berth"
	// DefaultState is the default of state.
	DefaultState = "/run/berth"
	// DefaultMetricsAddress is the default of metrics.address.
	DefaultMetricsAddress = "127.0.0.1:9945"
)

// Default returns the configuration that applies where nobody says otherwise.
// Values that follow root and state are still empty: Load, or Complete, fills
// them in.
func Default() *Config {
	return &Config{
		Root:  DefaultRoot,
		State: DefaultState,
		Log:   Log{Level: "info", Format: "text"},
		Metrics: Metrics{
			Address: DefaultMetricsAddress,
		},
		Streaming: Streaming{
			Address:         "127.0.0.1",
			IdleTimeout:     D(4 * time.Hour),
			CreationTimeout: D(30 * time.Second),
			DialTimeout:     D(10 * time.Second),
		},
		Containerd: Containerd{
			Snapshotter:    "overlayfs",
			ConnectTimeout: D(30 * time.Second),
			CallTimeout:    D(2 * time.Minute),
		},
		Runtime: Runtime{
			DefaultHandler: "runc",
			Handlers:       map[string]Handler{"runc": DefaultHandler()},
		},
		Cgroup:    Cgroup{Driver: CgroupAuto},
		CNI:       defaultCNI(),
		Image:     defaultImage(),
		Pod:       defaultPod(),
		Container: defaultContainer(),
		Security: Security{
			UnsetSeccompProfile: "unconfined",
			DefaultCapabilities: []string{
				"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE",
				"NET_RAW", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
			},
		},
	}
}

// DefaultHandler returns what a section [runtime.handlers.NAME] starts from.
func DefaultHandler() Handler {
	return Handler{
		CgroupDriver:   CgroupAuto,
		UserNamespaces: Auto,
		Timeout:        D(2 * time.Minute),
	}
}

func defaultCNI() CNI {
	return CNI{
		MaxConfs:       1,
		AddTimeout:     D(time.Minute),
		DelTimeout:     D(time.Minute),
		GCTimeout:      D(10 * time.Second),
		StatusTimeout:  D(5 * time.Second),
		StatusInterval: D(10 * time.Second),
		GCInterval:     D(10 * time.Minute),
		DelRetryMax:    D(5 * time.Minute),
		DelGiveUp:      D(7 * 24 * time.Hour),
		IPPreference:   "cni",
		DefaultNetwork: DefaultNetwork{
			Enabled: true,
			Backend: "auto",
		},
	}
}

func defaultImage() Image {
	return Image{
		MaxConcurrentPulls:     8,
		MaxConcurrentDownloads: 6,
		ResolveTimeout:         D(30 * time.Second),
		ProgressTimeout:        D(time.Minute),
		MinThroughput:          1024,
		PullTimeout:            D(time.Hour),
		MaxUnpackedSize:        128 << 30,
		RemoveTimeout:          D(2 * time.Minute),
	}
}

func defaultPod() Pod {
	return Pod{
		OperationTimeout: D(4 * time.Minute),
		ShmSize:          64 << 20,
		DrainTimeout:     D(10 * time.Second),
	}
}

func defaultContainer() Container {
	return Container{
		MaxLogLineSize:          16 << 10,
		ExecDrainTimeout:        D(2 * time.Second),
		ExecMaxOutput:           16 << 20,
		KillTimeout:             D(time.Minute),
		EnableUnprivilegedPorts: true,
		EnableUnprivilegedICMP:  true,
		TolerateMissingHugetlb:  true,
	}
}
