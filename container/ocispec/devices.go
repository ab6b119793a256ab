package ocispec

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

// nodes are the device nodes of a container, of which the last one at a path counts. Adding and
// removing one costs the same however many there are.
type nodes struct {
	list []specs.LinuxDevice
	last map[string]int
}

func (n *nodes) add(devices ...specs.LinuxDevice) {
	for _, d := range devices {
		n.last[d.Path] = len(n.list)
		n.list = append(n.list, d)
	}
}

func (n *nodes) remove(path string) { delete(n.last, path) }

func (n *nodes) has(path string) bool {
	_, ok := n.last[path]
	return ok
}

// final are the nodes that count, in the order in which they were added.
func (n *nodes) final() []specs.LinuxDevice {
	i := -1
	return slices.DeleteFunc(n.list, func(d specs.LinuxDevice) bool {
		i++
		last, ok := n.last[d.Path]
		return !ok || last != i
	})
}

// devices adds the request's devices, and the host's for a privileged container.
func (b *builder) devices() error {
	nodes := &nodes{last: map[string]int{}}
	nodes.add(b.s.Linux.Devices...)
	for _, d := range b.in.Config.GetDevices() {
		if err := b.device(nodes, d); err != nil {
			return err
		}
	}
	if err := b.privilegedDevices(nodes); err != nil {
		return err
	}
	b.s.Linux.Devices = nodes.final()
	return nil
}

// privilegedDevices opens the device cgroup for a privileged container, and shows it the host's devices.
func (b *builder) privilegedDevices(nodes *nodes) error {
	if !b.sc.Privileged {
		return nil
	}
	open := true
	if b.in.Runtime.PrivilegedWithoutHostDevices {
		open = b.in.Runtime.PrivilegedWithoutHostDevicesAllDevicesAllowed
	} else if err := b.hostDevices(nodes); err != nil {
		return err
	}
	if open {
		b.s.Linux.Resources.Devices = []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}
	}
	return nil
}

// device adds a device or all devices in a directory.
func (b *builder) device(nodes *nodes, d *runtimeapi.Device) error {
	source, err := b.fs.Resolve(d.GetHostPath())
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no device %s on this node: %w", d.GetHostPath(), errdefs.ErrNotFound)
	}
	if err != nil {
		return fmt.Errorf("resolving the device %s: %w", d.GetHostPath(), err)
	}
	dest := d.GetHostPath()
	if d.GetContainerPath() != "" {
		dest = inRoot(d.GetContainerPath())
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
		nodes.add(dev)
		b.allow(dev, access)
		b.bindDevice(nodes, source, dest, dev)
	}
	return nil
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
func (b *builder) bindDevice(nodes *nodes, source, dest string, dev specs.LinuxDevice) {
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
	nodes.remove(dev.Path)
	b.s.Mounts = append(b.s.Mounts, specs.Mount{
		Destination: dev.Path, Type: "bind", Source: host, Options: []string{"bind", "rprivate", "nosuid", "noexec", "rw"},
	})
}

// hostDevices adds every device of the host that the request has not named.
func (b *builder) hostDevices(nodes *nodes) error {
	devices, err := b.fs.HostDevices()
	if err != nil {
		return fmt.Errorf("listing the node's devices: %w", err)
	}
	for _, d := range devices {
		if !nodes.has(d.Path) {
			nodes.add(d)
		}
	}
	return nil
}

// validateDevice refuses what no host has.
func validateDevice(d *runtimeapi.Device) error {
	switch {
	case !path.IsAbs(d.GetHostPath()):
		return fmt.Errorf("host_path %q is not absolute: %w", d.GetHostPath(), errdefs.ErrInvalidArgument)
	case strings.Trim(d.GetPermissions(), "rwm") != "":
		return fmt.Errorf("permissions %q are not of r, w and m: %w", d.GetPermissions(), errdefs.ErrInvalidArgument)
	}
	return nil
}
