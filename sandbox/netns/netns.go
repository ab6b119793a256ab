// Package netns makes, pins and enters the namespaces of a pod.
//
// A pod has no pause process. Its namespaces live because each is bind-mounted onto a file
// (a pin) in the pod's ns directory: net, ipc, uts and user. The pins survive the daemon and end
// with [Remove] or a reboot.
//
// # Mount propagation
//
// The pins must not spread into other mount namespaces, where a forgotten copy would keep
// a pod's network alive after the pod. [PrepareRoot] therefore makes the directory above all
// pods a private mount; it is called once at start. The daemon has to run in the host's mount
// namespace: in a private one (systemd's PrivateMounts= and the Protect… settings that imply
// it) the pins would end with the daemon.
//
// # Threads
//
// A namespace belongs to a thread. Functions here do their work on a locked thread, and a
// thread that could not be put back exactly as it was is thrown away, never reused.
package netns

import (
	"context"
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
	// Sysctls are applied inside the new namespaces, keys in dotted or slashed form.
	Sysctls map[string]string
}

// Pins says which pins of a directory are live namespaces.
type Pins struct {
	Net, IPC, UTS, User bool
}

// InterfaceStats are the counters of one interface, since it was made.
type InterfaceStats struct {
	Name                string
	RxBytes, RxPackets  uint64
	RxErrors, RxDropped uint64
	TxBytes, TxPackets  uint64
	TxErrors, TxDropped uint64
}

// PrepareRoot makes dir (created if need be) a private mount of itself, so that pins made
// below it stay in this mount namespace. Idempotent.
func PrepareRoot(dir string) error { panic("not built yet") }

// ReleaseRoot undoes PrepareRoot when no mount is left below dir; FailedPrecondition otherwise.
func ReleaseRoot(dir string) error { panic("not built yet") }

// ValidateSpec refuses what Create would refuse, without side effects. InvalidArgument.
func ValidateSpec(spec Spec) error { panic("not built yet") }

// ValidateSysctls checks that every sysctl belongs to a namespace of the pod's own: net.* only with
// net, the ipc ones only with ipc, kernel.domainname only with uts. InvalidArgument.
func ValidateSysctls(sysctls map[string]string, net, ipc, uts bool) error { panic("not built yet") }

// Create makes and pins the namespaces of spec; the loopback interface of a new network
// namespace is up. On failure nothing is left behind. AlreadyExists when a pin is live.
func Create(ctx context.Context, spec Spec) error { panic("not built yet") }

// Remove unmounts and deletes all pins in dir, and dir itself when empty. Idempotent.
func Remove(ctx context.Context, dir string) error { panic("not built yet") }

// Verify reports which pins in dir are live; a missing directory has none.
func Verify(dir string) (Pins, error) { panic("not built yet") }

// Path is where the pin of a kind is in dir.
func Path(dir string, kind Kind) string { panic("not built yet") }

// IsNamespace reports whether path is a namespace file (nsfs).
func IsNamespace(path string) bool { panic("not built yet") }

// Do runs fn in the network namespace at path. fn must not start goroutines that are
// meant to be in it, too. NotFound when path is no namespace.
func Do(path string, fn func() error) error { panic("not built yet") }

// Stats reads the counters of all interfaces in the network namespace at path, by netlink.
func Stats(path string) ([]InterfaceStats, error) { panic("not built yet") }
