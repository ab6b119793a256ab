package budget

// What a pod may take of the host besides its cgroup.
const (
	// PodFiles is what a pod's own /etc/hostname, /etc/hosts and /etc/resolv.conf may grow by, in
	// bytes: they are on a tmpfs of the pod's, and its containers can write them. A container that
	// writes more gets ENOSPC. containerd and CRI-O have no limit: there a container fills /run.
	PodFiles = 1 << 20

	// PodFileCount is how many inodes the tmpfs has: the three files, its root, and room for what
	// a later version adds. Containers see the files only and can make no others.
	PodFileCount = 16
)
