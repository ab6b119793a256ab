package spec

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// devices adds the request's devices, and the host's for a privileged container.
func (b *builder) devices() error {
	for _, d := range b.in.Config.GetDevices() {
		if err := b.device(d); err != nil {
			return err
		}
	}
	if !b.sc.Privileged {
		return nil
	}
	open := true
	if b.in.Runtime.PrivilegedWithoutHostDevices {
		open = b.in.Runtime.PrivilegedWithoutHostDevicesAllDevicesAllowed
	} else if err := b.hostDevices(); err != nil {
		return err
	}
	if open {
		b.s.Linux.Resources.Devices = []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}
	}
	return nil
}

// device adds a device or all devices in a directory.
func (b *builder) device(d *runtimeapi.Device) error {
	source, err := b.fs.Resolve(d.GetHostPath())
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no device %s on this node: %w", d.GetHostPath(), errdefs.ErrNotFound)
	}
	if err != nil {
		return fmt.Errorf("resolving the device %s: %w", d.GetHostPath(), err)
	}
	dest := d.GetContainerPath()
	if dest == "" {
		dest = d.GetHostPath()
	}
	found, err := b.fs.Devices(source, dest)
	if errors.Is(err, oci.ErrNotADevice) {
		return fmt.Errorf("%s is no device: %w", d.GetHostPath(), errdefs.ErrInvalidArgument)
	}
	if err != nil {
		return fmt.Errorf("looking at the device %s: %w", d.GetHostPath(), err)
	}
	access := d.GetPermissions()
	if access == "" {
		access = "rwm"
	}
	for _, dev := range found {
		b.own(&dev)
		b.addDevice(dev)
		b.allow(dev, access)
		b.bindDevice(source, dest, dev)
	}
	return nil
}

// addDevice adds a node; the last one at a path counts.
func (b *builder) addDevice(dev specs.LinuxDevice) {
	b.s.Linux.Devices = slices.DeleteFunc(b.s.Linux.Devices, func(o specs.LinuxDevice) bool { return o.Path == dev.Path })
	b.s.Linux.Devices = append(b.s.Linux.Devices, dev)
}

func (b *builder) allow(dev specs.LinuxDevice, access string) {
	major, minor := dev.Major, dev.Minor
	b.s.Linux.Resources.Devices = append(b.s.Linux.Resources.Devices, specs.LinuxDeviceCgroup{
		Allow: true, Type: dev.Type, Major: &major, Minor: &minor, Access: access,
	})
}

// own gives a device to the container's user where the node is configured so.
// Only the request's own IDs count: root's devices stay as they are on the host.
func (b *builder) own(dev *specs.LinuxDevice) {
	if !b.in.Defaults.DeviceOwnershipFromSecurityContext {
		return
	}
	if uid := uint32(b.sc.GetRunAsUser().GetValue()); uid != 0 {
		dev.UID = &uid
	}
	if gid := uint32(b.sc.GetRunAsGroup().GetValue()); gid != 0 {
		dev.GID = &gid
	}
}

// bindDevice helps a device that has another name in a pod with a user
// namespace: no node can be made there, and the OCI runtime binds the host's
// node of the same name, which is another one or none.
func (b *builder) bindDevice(source, dest string, dev specs.LinuxDevice) {
	if b.userns == nil {
		return
	}
	host := source
	if rest, ok := strings.CutPrefix(dev.Path, path.Clean(dest)+"/"); ok {
		host = path.Join(source, rest)
	}
	if host == dev.Path {
		return
	}
	b.s.Linux.Devices = slices.DeleteFunc(b.s.Linux.Devices, func(o specs.LinuxDevice) bool { return o.Path == dev.Path })
	b.s.Mounts = append(b.s.Mounts, specs.Mount{
		Destination: dev.Path, Type: "bind", Source: host, Options: []string{"bind", "rprivate", "nosuid", "noexec", "rw"},
	})
}

// hostDevices adds every device of the host that the request has not named.
func (b *builder) hostDevices() error {
	devices, err := b.fs.HostDevices()
	if err != nil {
		return fmt.Errorf("listing the node's devices: %w", err)
	}
	for _, d := range devices {
		if !slices.ContainsFunc(b.s.Linux.Devices, func(o specs.LinuxDevice) bool { return o.Path == d.Path }) {
			b.s.Linux.Devices = append(b.s.Linux.Devices, d)
		}
	}
	return nil
}

// validateDevice refuses what no host has.
func validateDevice(d *runtimeapi.Device) error {
	switch {
	case !path.IsAbs(d.GetHostPath()):
		return fmt.Errorf("host_path %q is not absolute: %w", d.GetHostPath(), errdefs.ErrInvalidArgument)
	case d.GetContainerPath() != "" && !path.IsAbs(d.GetContainerPath()):
		return fmt.Errorf("container_path %q is not absolute: %w", d.GetContainerPath(), errdefs.ErrInvalidArgument)
	case strings.Trim(d.GetPermissions(), "rwm") != "":
		return fmt.Errorf("permissions %q are not of r, w and m: %w", d.GetPermissions(), errdefs.ErrInvalidArgument)
	}
	return nil
}
