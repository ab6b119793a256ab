package ocispec

import (
	"path"
	"path/filepath"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// defaultMounts are the kernel's filesystems that every container has.
func defaultMounts() []specs.Mount {
	return []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		// Group 5 is tty on every distribution.
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
		{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
	}
}

// mounts puts together, each only where nothing more specific takes its place:
// the kernel's filesystems, then by depth the pod's files, the image's volumes
// and the request's mounts.
func (b *builder) mounts() error {
	requested, err := b.requestedMounts()
	if err != nil {
		return err
	}
	taken := destinations(requested)
	added := slices.Concat(b.imageVolumes(taken), b.podMounts(taken), requested)
	// A mount must not hide one below it; those of the same depth keep their order.
	slices.SortStableFunc(added, func(x, y specs.Mount) int { return depth(x.Destination) - depth(y.Destination) })

	taken = destinations(added)
	kernel := append(slices.Clone(b.s.Mounts), b.cgroupMount(), b.privateShm())
	kernel = slices.DeleteFunc(kernel, func(m specs.Mount) bool { return m.Destination == "" || taken.cover(m.Destination) })
	if b.sc.Privileged {
		writable(kernel)
	}
	if b.userns != nil && b.in.Sandbox.Namespaces.Net == "" {
		b.bindSys(kernel)
	}
	b.s.Mounts = append(kernel, added...)
	return nil
}

// depth is the number of path components.
func depth(p string) int { return strings.Count(path.Clean(p), "/") }

// places are where something is mounted.
type places map[string]bool

func destinations(mounts []specs.Mount) places {
	p := make(places, len(mounts))
	for _, m := range mounts {
		p[path.Clean(m.Destination)] = true
	}
	return p
}

// cover reports whether something is mounted at dest or above it.
func (p places) cover(dest string) bool {
	for dest = path.Clean(dest); ; dest = path.Dir(dest) {
		if p[dest] {
			return true
		}
		if dest == "/" || dest == "." {
			return false
		}
	}
}

// at is true where one of the mounts is exactly at dest.
func at(dest string, mounts []specs.Mount) bool {
	return slices.ContainsFunc(mounts, func(m specs.Mount) bool { return path.Clean(m.Destination) == path.Clean(dest) })
}

// writable takes "ro" from sysfs and cgroup for a privileged container.
func writable(mounts []specs.Mount) {
	for i, m := range mounts {
		if m.Type == "sysfs" || m.Type == "cgroup" || m.Type == "cgroup2" {
			options := slices.DeleteFunc(slices.Clone(m.Options), func(o string) bool { return o == "ro" || o == "rw" })
			mounts[i].Options = append(options, "rw")
		}
	}
}

// bindSys shows the host's /sys, read-only, in a user namespace on the host's network (KEP-5607): the
// kernel lets only the owner of a network namespace mount sysfs.
func (b *builder) bindSys(mounts []specs.Mount) {
	mode := "ro"
	if b.in.Runtime.Features.RecursiveReadOnly {
		mode = "rro"
	}
	for i, m := range mounts {
		if m.Type == "sysfs" {
			mounts[i].Type, mounts[i].Source = "bind", "/sys"
			mounts[i].Options = []string{"rbind", "rprivate", "nosuid", "noexec", "nodev", mode}
		}
	}
}

// cgroupMount shows the container its cgroups; read-write only on v2 and on request.
func (b *builder) cgroupMount() specs.Mount {
	if at("/sys/fs/cgroup", b.s.Mounts) {
		return specs.Mount{}
	}
	mode := "ro"
	if b.in.Runtime.CgroupWritable && b.in.Host.Cgroup.IsV2() {
		mode = "rw"
	}
	return specs.Mount{
		Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup",
		Options: append([]string{"nosuid", "noexec", "nodev", "relatime", mode}, b.cgroupSuperOptions()...),
	}
}

// cgroupSuperOptions are options of the host's cgroup2 superblock that a mount
// without a cgroup namespace shares, and would otherwise switch off for all.
func (b *builder) cgroupSuperOptions() []string {
	if !b.in.Host.Cgroup.IsV2() || b.cgroupNamespace() {
		return nil
	}
	m, err := b.fs.Mount(b.in.Host.Cgroup.Root)
	if err != nil {
		return nil
	}
	var options []string
	for o := range strings.SplitSeq(m.VFSOptions, ",") {
		if o == "nsdelegate" || o == "memory_recursiveprot" {
			options = append(options, o)
		}
	}
	return options
}

// privateShm is a /dev/shm of the container's own where the pod gives none.
func (b *builder) privateShm() specs.Mount {
	if at("/dev/shm", b.s.Mounts) || b.in.Sandbox.ShmPath != "" {
		return specs.Mount{}
	}
	return specs.Mount{
		Destination: "/dev/shm", Type: "tmpfs", Source: "shm",
		Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"},
	}
}

// podMounts are the pod's files and shared memory, where the request has not its own.
func (b *builder) podMounts(requested places) []specs.Mount {
	pod := b.in.Sandbox
	mode := "rw"
	if b.sc.ReadonlyRootfs {
		mode = "ro"
	}
	var mounts []specs.Mount
	for _, f := range []struct{ dest, source string }{
		{"/etc/hostname", pod.HostnamePath},
		{"/etc/hosts", pod.HostsPath},
		{"/etc/resolv.conf", pod.ResolvConfPath},
	} {
		if f.source == "" || requested[f.dest] {
			continue
		}
		m := specs.Mount{Destination: f.dest, Type: "bind", Source: f.source, Options: []string{"rbind", "rprivate", mode}}
		if b.userns != nil && b.in.Host.Kernel.AtLeast(6, 3) {
			// tmpfs can be mounted idmapped since 6.3; before, root's files just
			// belong to nobody in the pod, and can be read.
			m.UIDMappings, m.GIDMappings = b.userns.UIDs, b.userns.GIDs
		}
		mounts = append(mounts, m)
		b.relabel(f.source)
	}
	if shm := b.shmSource(); shm != "" && !requested["/dev/shm"] {
		mounts = append(mounts, specs.Mount{Destination: "/dev/shm", Type: "bind", Source: shm,
			Options: []string{"rbind", "rprivate", "nosuid", "noexec", "nodev", "rw"}})
		if shm == pod.ShmPath {
			b.relabel(shm)
		}
	}
	return mounts
}

// shmSource is the pod's shared memory, or the host's for pods in its IPC namespace.
func (b *builder) shmSource() string {
	if b.in.Sandbox.ShmPath != "" {
		return b.in.Sandbox.ShmPath
	}
	if b.in.Sandbox.Namespaces.IPC == "" {
		return "/dev/shm"
	}
	return ""
}

// imageVolumes are the volumes that the image declares and the request does
// not cover: each a directory that lives as long as the container.
func (b *builder) imageVolumes(requested places) []specs.Mount {
	if b.in.Defaults.IgnoreImageVolumes || b.in.ContainerDir == "" {
		return nil
	}
	var mounts []specs.Mount
	var paths []string
	for p := range b.in.Image.Config.Volumes {
		paths = append(paths, path.Join("/", p))
	}
	slices.Sort(paths)
	for _, p := range slices.Compact(paths) {
		if p == "/" || requested[p] {
			continue
		}
		// The name says where it belongs; the escaping keeps it one component.
		name := strings.NewReplacer("%", "%25", "/", "%2F").Replace(strings.TrimPrefix(p, "/"))
		v := Volume{HostPath: filepath.Join(b.in.ContainerDir, "volumes", name), ContainerPath: p}
		b.out.Volumes = append(b.out.Volumes, v)
		b.relabel(v.HostPath)
		m := specs.Mount{Destination: p, Type: "bind", Source: v.HostPath, Options: []string{"rbind", "rprivate", "rw"}}
		if b.userns != nil {
			m.UIDMappings, m.GIDMappings = b.userns.UIDs, b.userns.GIDs
		}
		mounts = append(mounts, m)
	}
	return mounts
}

// relabel notes a path for SELinux; dropped later where SELinux is off.
func (b *builder) relabel(path string) {
	b.out.Relabel = append(b.out.Relabel, path)
}

// paths sets what of /proc and /sys is hidden or read-only: exactly what the
// request says, and nothing for a privileged container.
func (b *builder) paths() error {
	l := b.s.Linux
	if b.sc.Privileged {
		l.MaskedPaths, l.ReadonlyPaths = nil, nil
		return nil
	}
	if b.in.Runtime.BaseSpec == nil || len(b.sc.MaskedPaths) > 0 {
		l.MaskedPaths = allInRoot(b.sc.MaskedPaths)
	}
	if b.in.Runtime.BaseSpec == nil || len(b.sc.ReadonlyPaths) > 0 {
		l.ReadonlyPaths = allInRoot(b.sc.ReadonlyPaths)
	}
	return nil
}

// allInRoot makes paths absolute, and leaves out empty ones, which runc ignores.
func allInRoot(paths []string) []string {
	var out []string
	for _, p := range paths {
		if p != "" {
			out = append(out, inRoot(p))
		}
	}
	return out
}
