package ocispec

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/moby/sys/mountinfo"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// HostFS is how Build looks at the host's files. Tests give their own.
type HostFS interface {
	// Resolve follows all symbolic links of an absolute path; it must exist.
	Resolve(path string) (string, error)
	// Stat is os.Stat.
	Stat(path string) (os.FileInfo, error)
	// Lstat is os.Lstat.
	Lstat(path string) (os.FileInfo, error)
	// ReadFile is os.ReadFile.
	ReadFile(path string) ([]byte, error)
	// Mount is the mount that the resolved path lies on.
	Mount(path string) (*mountinfo.Info, error)
	// Devices describes the device at a host path, or all devices in the
	// directory at it, as they are to appear under containerPath;
	// oci.ErrNotADevice for anything else.
	Devices(hostPath, containerPath string) ([]specs.LinuxDevice, error)
	// Hostname is os.Hostname.
	Hostname() (string, error)
	// HostDevices are all devices under the host's /dev that a privileged container gets.
	HostDevices() ([]specs.LinuxDevice, error)
}

// hostFS is the machine itself.
type hostFS struct{}

func (hostFS) Resolve(path string) (string, error)       { return filepath.EvalSymlinks(path) }
func (hostFS) Stat(path string) (os.FileInfo, error)     { return os.Stat(path) }
func (hostFS) Lstat(path string) (os.FileInfo, error)    { return os.Lstat(path) }
func (hostFS) ReadFile(path string) ([]byte, error)      { return os.ReadFile(path) }
func (hostFS) Hostname() (string, error)                 { return os.Hostname() }
func (hostFS) HostDevices() ([]specs.LinuxDevice, error) { return oci.HostDevices() }

func (hostFS) Devices(hostPath, containerPath string) ([]specs.LinuxDevice, error) {
	s := specs.Spec{Linux: &specs.Linux{Resources: &specs.LinuxResources{}}}
	if err := oci.WithDevices(hostPath, containerPath, "rwm")(context.Background(), nil, nil, &s); err != nil {
		return nil, err
	}
	return s.Linux.Devices, nil
}

func (hostFS) Mount(path string) (*mountinfo.Info, error) {
	mounts, err := mountinfo.GetMounts(mountinfo.ParentsFilter(path))
	if err != nil {
		return nil, fmt.Errorf("reading the mount table for %s: %w", path, err)
	}
	var best *mountinfo.Info
	for _, m := range mounts {
		// Later entries shadow earlier ones on the same mount point.
		if best == nil || len(m.Mountpoint) >= len(best.Mountpoint) {
			best = m
		}
	}
	if best == nil {
		return nil, fmt.Errorf("no mount in the mount table holds %s", path)
	}
	return best, nil
}
