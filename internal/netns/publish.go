package netns

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Publish pins the network namespace that is pinned in dir at another place, too, where network agents
// that run in containers find it: they mount the directory of that place (/run/netns) or one above
// with HostToContainer propagation, and enter what CNI_NETNS names. One that is there already is fine.
//
// Mounts of containers copy this pin, unlike those in dir. [Unpublish] ends the copies, too.
func Publish(dir, at string) error {
	if IsNamespace(at) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return fmt.Errorf("publish a network namespace: %w", err)
	}
	f, err := os.OpenFile(at, os.O_RDONLY|os.O_CREATE, 0o444)
	if err != nil {
		return fmt.Errorf("publish a network namespace: %w", err)
	}
	f.Close()
	if err := unix.Mount(Path(dir, Net), at, "", unix.MS_BIND, ""); err != nil {
		return errors.Join(fmt.Errorf("publish a network namespace at %s: %w", at, err), os.Remove(at))
	}
	return nil
}

// Unpublish undoes [Publish]. The unmount propagates to mounts of containers that follow the host's;
// of others, the deletion of the file makes the kernel drop the copies. Idempotent.
func Unpublish(at string) error {
	if err := unmountAll(at); err != nil {
		return err
	}
	if err := os.Remove(at); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("delete the pin of a network namespace: %w", err)
	}
	return nil
}

// Share makes dir a mount that containers can follow, as ip-netns(8) does with /run/netns: without
// it, on a node whose /run is not shared, no pin would ever get to a container that runs already.
func Share(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the directory of network namespaces: %w", err)
	}
	err := unix.Mount("", dir, "", unix.MS_SHARED|unix.MS_REC, "")
	if errors.Is(err, unix.EINVAL) { // it is no mount yet
		if err = unix.Mount(dir, dir, "", unix.MS_BIND|unix.MS_REC, ""); err == nil {
			err = unix.Mount("", dir, "", unix.MS_SHARED|unix.MS_REC, "")
		}
	}
	if err != nil {
		return fmt.Errorf("make %s a shared mount: %w", dir, err)
	}
	return nil
}
