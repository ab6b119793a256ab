package netns

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

const (
	// sysfs is where the sysfs of a network namespace is mounted, beside the pins.
	sysfs Kind = "sys"
	// mqueue is where the message queues of an IPC namespace are mounted.
	mqueue Kind = "mqueue"
)

// setUpOnce mounts and sets what a namespace has once for all containers of the pod, before the first of them runs.
// The calling thread is in the namespaces.
func setUpOnce(spec Spec) error {
	if spec.Net {
		if err := keepSysfs(spec.Dir); err != nil {
			return err
		}
	}
	if spec.IPC && spec.User != nil {
		return ownQueues(spec)
	}
	return nil
}

// keepSysfs mounts the sysfs of the thread's network namespace read-write, and leaves it mounted. The
// kernel has one for each namespace, and the first mount decides whether it can be written at all:
// were that a plain container's, read-only, a privileged container could never write to /sys.
// The mount does not keep the namespace alive.
func keepSysfs(dir string) error {
	at := Path(dir, sysfs)
	if err := os.Mkdir(at, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("keep the sysfs of a network namespace: %w", err)
	}
	if err := unix.Mount("sysfs", at, "sysfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("keep the sysfs of a network namespace, on %s: %w", at, err)
	}
	return nil
}

// ownQueues gives /dev/mqueue to root of the user namespace: whoever makes an IPC namespace owns
// it otherwise, the host's root, who is nobody there. They stay mounted, since to unmount takes
// milliseconds; the mount does not keep the namespace alive.
func ownQueues(spec Spec) error {
	uid, gid := rootOf(spec.User.UIDs), rootOf(spec.User.GIDs)
	if uid < 0 || gid < 0 {
		return nil
	}
	at := Path(spec.Dir, mqueue)
	if err := os.Mkdir(at, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("give the message queues to the pod's root: %w", err)
	}
	err := unix.Mount("mqueue", at, "mqueue", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	if errors.Is(err, unix.ENODEV) {
		return os.Remove(at) // this kernel has no message queues
	}
	if err == nil {
		err = os.Chown(at, uid, gid)
	}
	if err != nil {
		return fmt.Errorf("give the message queues to the pod's root: %w", err)
	}
	return nil
}
