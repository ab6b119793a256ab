package netns

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// maxHostname is the kernel's limit, __NEW_UTS_LEN.
const maxHostname = 64

// ValidateSpec refuses what Create would refuse, without side effects. InvalidArgument.
func ValidateSpec(spec Spec) error {
	invalid := func(format string, args ...any) error {
		return fmt.Errorf(format+": %w", append(args, errdefs.ErrInvalidArgument)...)
	}
	if spec.Dir == "" || !strings.HasPrefix(spec.Dir, "/") {
		return invalid("namespace directory %q is not an absolute path", spec.Dir)
	}
	if len(spec.kinds()) == 0 {
		return invalid("no namespace asked for in %s", spec.Dir)
	}
	if spec.Hostname != "" && !spec.UTS {
		return invalid("hostname %q needs a UTS namespace of the pod's own", spec.Hostname)
	}
	if len(spec.Hostname) > maxHostname {
		return invalid("hostname %q has %d bytes, the kernel takes at most %d", spec.Hostname, len(spec.Hostname), maxHostname)
	}
	if strings.ContainsAny(spec.Hostname, "\x00/ \n") {
		return invalid("hostname %q has characters that no hostname has", spec.Hostname)
	}
	if spec.User != nil {
		if err := validateIDMaps(spec.User); err != nil {
			return err
		}
	}
	return ValidateSysctls(spec.Sysctls, spec.Net, spec.IPC, spec.UTS)
}

// Create makes and pins the namespaces of spec; the loopback interface of a new network
// namespace is up. On failure nothing is left behind. AlreadyExists when a pin is live.
func Create(_ context.Context, spec Spec) (err error) {
	if err := ValidateSpec(spec); err != nil {
		return err
	}
	pins, err := Verify(spec.Dir)
	if err != nil {
		return err
	}
	if pins != (Pins{}) {
		return fmt.Errorf("namespaces in %s are pinned already: %w", spec.Dir, errdefs.ErrAlreadyExists)
	}
	// What a crash in the middle of an earlier Create left.
	if err := remove(spec.Dir); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, remove(spec.Dir))
		}
	}()
	if err := prepareDir(spec); err != nil {
		return err
	}
	if spec.User != nil {
		return onThrowawayThread(func() error { return createWithUser(spec) })
	}
	return onThrowawayThread(func() error { return createByUnshare(spec) })
}

// prepareDir makes the directory an unbindable mount (see the package comment) with an
// empty file for each pin.
func prepareDir(spec Spec) error {
	if err := os.MkdirAll(spec.Dir, 0o711); err != nil {
		return fmt.Errorf("namespace directory: %w", err)
	}
	if err := unix.Mount(spec.Dir, spec.Dir, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount namespace directory %s: %w", spec.Dir, err)
	}
	if err := unix.Mount("", spec.Dir, "", unix.MS_UNBINDABLE, ""); err != nil {
		return fmt.Errorf("make namespace directory %s unbindable: %w", spec.Dir, err)
	}
	for _, kind := range spec.kinds() {
		f, err := os.OpenFile(Path(spec.Dir, kind), os.O_RDONLY|os.O_CREATE, 0o400)
		if err != nil {
			return fmt.Errorf("pin %s namespace: %w", kind, err)
		}
		f.Close()
	}
	return nil
}

// createByUnshare is the fast path: no process is started, this thread changes its namespaces.
func createByUnshare(spec Spec) error {
	if err := unix.Unshare(cloneFlags(spec)); err != nil {
		return exhausted(fmt.Errorf("make namespaces %v for %s: %w", spec.kinds(), spec.Dir, err))
	}
	if err := setUp(spec); err != nil {
		return err
	}
	if err := pin(spec, "/proc/thread-self/ns"); err != nil {
		return err
	}
	return applySysctls(early(spec.Sysctls))
}

// setUp configures the namespaces that the calling thread is in.
func setUp(spec Spec) error {
	if spec.Hostname != "" {
		if err := unix.Sethostname([]byte(spec.Hostname)); err != nil {
			return fmt.Errorf("set hostname %q: %w", spec.Hostname, err)
		}
	}
	if spec.Net {
		if err := loopbackUp(); err != nil {
			return err
		}
	}
	return setUpOnce(spec)
}

// pin binds the namespaces found in a /proc/<pid>/ns directory onto the pins of spec.
func pin(spec Spec, from string) error {
	for _, kind := range spec.kinds() {
		src := from + "/" + string(kind)
		if err := unix.Mount(src, Path(spec.Dir, kind), "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("pin %s namespace at %s: %w", kind, Path(spec.Dir, kind), err)
		}
	}
	return nil
}

func cloneFlags(spec Spec) int {
	var flags int
	if spec.Net {
		flags |= unix.CLONE_NEWNET
	}
	if spec.IPC {
		flags |= unix.CLONE_NEWIPC
	}
	if spec.UTS {
		flags |= unix.CLONE_NEWUTS
	}
	if spec.User != nil {
		flags |= unix.CLONE_NEWUSER
	}
	return flags
}

// loopbackUp sets lo up in the thread's network namespace. One ioctl on one socket: the same
// as a netlink request, without reading the interface list first.
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("bring loopback up: %w", err)
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return fmt.Errorf("bring loopback up: %w", err)
	}
	req.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req); err != nil {
		return fmt.Errorf("bring loopback up: %w", err)
	}
	return nil
}

// exhausted says what a full namespace table means.
func exhausted(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EUSERS) {
		return fmt.Errorf("%w (limits are in /proc/sys/user/max_*_namespaces): %w", err, errdefs.ErrResourceExhausted)
	}
	return err
}
