// Package netns makes, pins and enters the namespaces of a pod.
//
// A pod has no pause process. Its namespaces live because each is bind-mounted onto a file
// (a pin) in the pod's ns directory: net, ipc, uts and user. The pins survive the daemon and end
// with [Remove] or a reboot.
//
// # Mount propagation
//
// A forgotten copy of a pin keeps a pod's network alive after the pod. Copies arise where a
// shared mount (systemd shares /run) propagates into other mount namespaces, and where a
// container binds /run or / of the host recursively. So the ns directory is made a mount of
// its own, unbindable, before anything is pinned in it: what lies below it neither propagates
// nor follows a recursive bind. A process that clones the whole mount namespace does get
// a copy; [Remove] deletes the pins' files, which makes the kernel drop those copies, too.
//
// One more pin of the network namespace is where network agents look for it ([Publish]), and is copied.
//
// The daemon has to run in the host's mount namespace: in a private one (systemd's
// PrivateMounts=, and the Protect… settings that imply it) the pins would end with the daemon.
//
// # Threads
//
// A namespace belongs to a thread. Functions here do their work on a locked thread, and a
// thread that could not be put back exactly as it was is thrown away, never reused.
package netns

import (
	"path/filepath"
)

// Kind is a namespace type, and the name of its pin.
type Kind string

// The namespaces that can be pinned.
const (
	Net  Kind = "net"
	IPC  Kind = "ipc"
	UTS  Kind = "uts"
	User Kind = "user"
)

// IDMap is one line of uid_map or gid_map, CRI IDMapping.
type IDMap struct {
	ContainerID, HostID, Length uint32
}

// UserSpec asks for a user namespace (KEP-127), which then owns the pod's other namespaces.
type UserSpec struct {
	UIDs, GIDs []IDMap
}

// Spec says which namespaces to make.
type Spec struct {
	// Dir is where the pins go; it is created. <state>/pods/<podID>/ns.
	Dir string
	// Net, IPC and UTS ask for a new namespace of that kind.
	Net, IPC, UTS bool
	// Hostname is set in the new UTS namespace. It must be empty when UTS is false.
	Hostname string
	// User, when not nil, asks for a user namespace.
	User *UserSpec
	// Sysctls are applied inside the new namespaces, keys in dotted or slashed form. Those of
	// an interface that does not exist yet are left out, see [SplitSysctls].
	Sysctls map[string]string
}

// kinds lists what the spec asks for, the owner first.
func (s Spec) kinds() []Kind {
	var kinds []Kind
	for _, k := range []struct {
		kind   Kind
		wanted bool
	}{{User, s.User != nil}, {Net, s.Net}, {IPC, s.IPC}, {UTS, s.UTS}} {
		if k.wanted {
			kinds = append(kinds, k.kind)
		}
	}
	return kinds
}

// Pins says which pins of a directory are live namespaces.
type Pins struct {
	Net, IPC, UTS, User bool
}

// Path is where the pin of a kind is in dir.
func Path(dir string, kind Kind) string { return filepath.Join(dir, string(kind)) }
