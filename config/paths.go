package config

import "path/filepath"

// Paths derives the place of every file and socket that Berth makes from the
// two directories that can be moved. Nobody else joins these names.
type Paths struct {
	// Root survives a reboot, State does not.
	Root, State string
}

// Paths returns the places below c.Root and c.State.
func (c *Config) Paths() Paths { return Paths{Root: c.Root, State: c.State} }

// PIDFile holds the process id of the daemon in decimal.
func (p Paths) PIDFile() string { return filepath.Join(p.State, "berthd.pid") }

// LockFile is locked by the daemon while it lives, so that no second one uses
// the same directories.
func (p Paths) LockFile() string { return filepath.Join(p.State, "berthd.lock") }

// RootLockFile guards Root in the same way against a daemon with another State.
func (p Paths) RootLockFile() string { return filepath.Join(p.Root, "berthd.lock") }

// Socket is the CRI socket unless address says otherwise.
func (p Paths) Socket() string { return filepath.Join(p.State, "berth.sock") }

// DebugSocket serves pprof and goroutine dumps to root.
func (p Paths) DebugSocket() string { return filepath.Join(p.State, "debug.sock") }

// Pods is the parent of all pod directories.
func (p Paths) Pods() string { return filepath.Join(p.State, "pods") }

// Pod is the directory of one pod; it goes with the pod.
func (p Paths) Pod(podID string) string { return filepath.Join(p.Pods(), podID) }

// PodNamespaces is the directory with a pod's pinned namespaces.
func (p Paths) PodNamespaces(podID string) string { return filepath.Join(p.Pod(podID), "ns") }

// PodNamespace is the bind mount that pins one namespace of a pod; kind is the
// name under /proc/<pid>/ns: "net", "ipc", "uts", "user".
func (p Paths) PodNamespace(podID, kind string) string {
	return filepath.Join(p.PodNamespaces(podID), kind)
}

// PodNetNS pins a pod's network namespace.
func (p Paths) PodNetNS(podID string) string { return p.PodNamespace(podID, "net") }

// NetworkNamespaces is the directory in which network agents find the network namespaces of pods.
// That is where every tool looks, for the one instance that has the default state directory.
func (p Paths) NetworkNamespaces() string {
	if p.State == DefaultState {
		return "/run/netns"
	}
	return filepath.Join(p.State, "netns")
}

// PublishedNetNS is a pod's network namespace as agents see it.
func (p Paths) PublishedNetNS(podID string) string {
	return filepath.Join(p.NetworkNamespaces(), "berth-"+podID)
}

// PodShm is the mount point of a pod's /dev/shm.
func (p Paths) PodShm(podID string) string { return filepath.Join(p.Pod(podID), "shm") }

// PodFiles is the mount point of a pod's tmpfs with its files for /etc.
func (p Paths) PodFiles(podID string) string { return filepath.Join(p.Pod(podID), "files") }

// PodHosts is a pod's /etc/hosts.
func (p Paths) PodHosts(podID string) string { return filepath.Join(p.PodFiles(podID), "hosts") }

// PodResolvConf is a pod's /etc/resolv.conf.
func (p Paths) PodResolvConf(podID string) string {
	return filepath.Join(p.PodFiles(podID), "resolv.conf")
}

// PodHostname is a pod's /etc/hostname.
func (p Paths) PodHostname(podID string) string { return filepath.Join(p.PodFiles(podID), "hostname") }

// PodInit is the bundle of a pod's init process, where it has one.
func (p Paths) PodInit(podID string) string { return filepath.Join(p.Pod(podID), "init") }

// Containers is the parent of all container directories.
func (p Paths) Containers() string { return filepath.Join(p.State, "containers") }

// Container is the directory of one container's volatile files.
func (p Paths) Container(ctrID string) string { return filepath.Join(p.Containers(), ctrID) }

// ContainerStatus is the last known status of a container.
func (p Paths) ContainerStatus(ctrID string) string {
	return filepath.Join(p.Container(ctrID), "status.json")
}

// ContainerData is the parent of all containers' persistent files.
func (p Paths) ContainerData() string { return filepath.Join(p.Root, "containers") }

// ContainerVolumes holds the volumes that a container's image declares; it goes
// with the container.
func (p Paths) ContainerVolumes(ctrID string) string {
	return filepath.Join(p.ContainerData(), ctrID, "volumes")
}

// Private are the directories with what is inside of containers, or leads there. Only root may
// pass them. Root itself may be a directory of the administrator's, and State has to be passed by the
// root users of pods' user namespaces, on their way to their own bundles.
func (p Paths) Private() []string {
	return []string{
		p.Pods(), p.Containers(), p.Shims(), p.RuncRoot(), p.FIFOs(),
		p.ContainerData(), p.ContainerdRoot(), p.Quarantine(), filepath.Join(p.Root, "cni"),
	}
}

// shimIDLength is how much of a pod's ID names its sockets: enough to be
// unique, short enough for sun_path.
const shimIDLength = 32

// Shims is the directory with the sockets of the pods' shims.
func (p Paths) Shims() string { return filepath.Join(p.State, "s") }

// ShimTask is the socket of a shim's containerd task API (TTRPC).
func (p Paths) ShimTask(podID string) string {
	return filepath.Join(p.Shims(), shortID(podID)+".task")
}

// ShimControl is the socket of a shim's Berth API.
func (p Paths) ShimControl(podID string) string {
	return filepath.Join(p.Shims(), shortID(podID)+".ctl")
}

func shortID(id string) string { return id[:min(len(id), shimIDLength)] }

// ForeignShims is the directory with the sockets of shims that the embedded
// containerd starts, for handlers that name one.
func (p Paths) ForeignShims() string { return filepath.Join(p.State, "f") }

// RuncRoot is runc's --root.
func (p Paths) RuncRoot() string { return filepath.Join(p.State, "runc") }

// FIFOs is the directory with the pipes of containers whose shim is not Berth's.
func (p Paths) FIFOs() string { return filepath.Join(p.State, "fifo") }

// ContainerdRoot is the embedded containerd's root.
func (p Paths) ContainerdRoot() string { return filepath.Join(p.Root, "containerd") }

// ContainerdState is the embedded containerd's state directory.
func (p Paths) ContainerdState() string { return filepath.Join(p.State, "containerd") }

// ContainerdSocket is the embedded containerd's gRPC socket.
func (p Paths) ContainerdSocket() string { return filepath.Join(p.State, "containerd.sock") }

// ContainerdTTRPCSocket is the embedded containerd's TTRPC socket.
func (p Paths) ContainerdTTRPCSocket() string { return p.ContainerdSocket() + ".ttrpc" }

// Quarantine is where files go that turned out to be damaged.
func (p Paths) Quarantine() string { return filepath.Join(p.Root, "quarantine") }

// CNICache is libcni's cache of attachments and their results.
func (p Paths) CNICache() string { return filepath.Join(p.Root, "cni", "cache") }

// CNIAddresses is host-local's data directory for the default network.
func (p Paths) CNIAddresses() string { return filepath.Join(p.State, "cni", "networks") }

// PodCIDR keeps what UpdateRuntimeConfig said last.
func (p Paths) PodCIDR() string { return filepath.Join(p.State, "cni", "pod-cidr") }

// cniConfDir, certsDir and cdiDir replace the host's directories in an instance
// that is one of several.
func (p Paths) cniConfDir() string { return filepath.Join(p.Root, "cni", "net.d") }
func (p Paths) certsDir() string   { return filepath.Join(p.Root, "certs.d") }
func (p Paths) cdiDir() string     { return filepath.Join(p.Root, "cdi") }
