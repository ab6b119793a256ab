package netns

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// sysctlKind says which namespace a sysctl, as a slashed path, belongs to; "" for none.
func sysctlKind(name string) Kind {
	switch {
	case strings.HasPrefix(name, "net/"):
		return Net
	case strings.HasPrefix(name, "kernel/shm"), strings.HasPrefix(name, "kernel/msg"),
		name == "kernel/sem", name == "kernel/sem_next_id", strings.HasPrefix(name, "fs/mqueue/"):
		return IPC
	case name == "kernel/domainname":
		return UTS
	default:
		return ""
	}
}

// sysctlPath turns a name into its path below /proc/sys, as sysctl(8) does: what comes
// first, dot or slash, separates, and the other one stands for a literal dot in a dotted
// name (net.ipv4.conf.eth0/100.forwarding), itself in a slashed one.
func sysctlPath(name string) (string, error) {
	p := name
	if i := strings.IndexAny(name, "./"); i >= 0 && name[i] == '.' {
		p = strings.NewReplacer(".", "/", "/", ".").Replace(name)
	}
	if p == "" || path.Clean("/"+p) != "/"+p || strings.ContainsRune(p, 0) {
		return "", fmt.Errorf("sysctl name %q: %w", name, errdefs.ErrInvalidArgument)
	}
	return p, nil
}

// ValidateSysctls checks that every sysctl belongs to a namespace of the pod's own: net.* only with
// net, the IPC ones only with ipc, kernel.domainname only with uts. InvalidArgument.
func ValidateSysctls(sysctls map[string]string, net, ipc, uts bool) error {
	own := map[Kind]bool{Net: net, IPC: ipc, UTS: uts}
	for _, name := range slices.Sorted(maps.Keys(sysctls)) {
		p, err := sysctlPath(name)
		if err != nil {
			return err
		}
		kind := sysctlKind(p)
		if kind == "" {
			return fmt.Errorf("sysctl %q is not namespaced, so it would change the whole node: %w", name, errdefs.ErrInvalidArgument)
		}
		if !own[kind] {
			return fmt.Errorf("sysctl %q is not allowed, because the pod uses the host's %s namespace: %w", name, kind, errdefs.ErrInvalidArgument)
		}
	}
	return nil
}

// SplitSysctls parts what [Create] applies from what belongs to an interface that the
// network plugins have yet to make (net.ipv4.conf.eth0.…): the caller applies the latter with
// [ApplySysctls] after the network is attached.
func SplitSysctls(sysctls map[string]string) (now, afterNetwork map[string]string) {
	now, afterNetwork = map[string]string{}, map[string]string{}
	for name, value := range sysctls {
		if p, err := sysctlPath(name); err == nil && ofInterface(p) {
			afterNetwork[name] = value
		} else {
			now[name] = value
		}
	}
	return now, afterNetwork
}

// ofInterface is true for net/<family>/<conf|neigh>/<interface>/… of an interface that a new
// network namespace does not have.
func ofInterface(p string) bool {
	parts := strings.Split(p, "/")
	if len(parts) < 5 || parts[0] != "net" || parts[2] != "conf" && parts[2] != "neigh" {
		return false
	}
	return !slices.Contains([]string{"all", "default", "lo"}, parts[3])
}

func early(sysctls map[string]string) map[string]string {
	now, _ := SplitSysctls(sysctls)
	return now
}

// ApplySysctls writes net.* sysctls in the network namespace pinned in dir.
func ApplySysctls(dir string, sysctls map[string]string) error {
	if len(sysctls) == 0 {
		return nil
	}
	if err := ValidateSysctls(sysctls, true, false, false); err != nil {
		return err
	}
	return Do(Path(dir, Net), func() error { return applySysctls(sysctls) })
}

// applySysctls writes through the calling thread's /proc/sys, which shows its namespaces.
func applySysctls(sysctls map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(sysctls)) {
		p, err := sysctlPath(name)
		if err != nil {
			return err
		}
		if err := os.WriteFile("/proc/sys/"+p, []byte(sysctls[name]), 0); err != nil {
			return sysctlError(name, sysctls[name], err)
		}
	}
	return nil
}

// applySysctlsAs is applySysctls for namespaces owned by a user namespace with the given root.
// The kernel lets only that root write the IPC ones, not even the host's, so the thread takes
// its identity for them. There is no way back: they come last, on a thread that ends.
func applySysctlsAs(sysctls map[string]string, root int) error {
	asHost, asRoot := map[string]string{}, map[string]string{}
	for name, value := range sysctls {
		if p, err := sysctlPath(name); err == nil && sysctlKind(p) == IPC && root > 0 {
			asRoot[name] = value
		} else {
			asHost[name] = value
		}
	}
	if err := applySysctls(asHost); err != nil || len(asRoot) == 0 {
		return err
	}
	// The raw call changes this thread only; Go's own would change all of them.
	keep := ^uintptr(0)
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, keep, uintptr(root), keep); errno != 0 {
		return fmt.Errorf("take the identity of user %d to write sysctls: %w", root, errno)
	}
	return applySysctls(asRoot)
}

// sysctlError classifies: a name or value the kernel refuses is the caller's mistake.
func sysctlError(name, value string, err error) error {
	switch {
	case errors.Is(err, unix.ENOENT):
		return fmt.Errorf("sysctl %q does not exist in this kernel: %w", name, errdefs.ErrInvalidArgument)
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ERANGE):
		return fmt.Errorf("sysctl %q does not take the value %q: %w", name, value, errdefs.ErrInvalidArgument)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return fmt.Errorf("sysctl %q cannot be changed in a pod: %w: %w", name, err, errdefs.ErrInvalidArgument)
	}
	return fmt.Errorf("set sysctl %q to %q: %w", name, value, err)
}
