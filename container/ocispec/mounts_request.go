package ocispec

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	securejoin "github.com/cyphar/filepath-securejoin"
	"github.com/moby/sys/mountinfo"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	crierrors "k8s.io/cri-api/pkg/errors"
)

// requestedMounts are the request's mounts. Of several at the same place the
// last one is what the container would see, so only that one is made.
func (b *builder) requestedMounts() ([]specs.Mount, error) {
	var out []specs.Mount
	last := map[string]int{} // the index of the last one at a place
	for i, m := range b.in.Config.GetMounts() {
		built, err := b.requestedMount(i, m)
		if err != nil {
			return nil, fmt.Errorf("mount %s: %w", m.GetContainerPath(), err)
		}
		if _, twice := last[built.Destination]; twice {
			b.warn("Several mounts at %s; the last one counts.", built.Destination)
		}
		last[built.Destination] = len(out)
		out = append(out, built)
	}
	i := -1
	return slices.DeleteFunc(out, func(m specs.Mount) bool { i++; return last[m.Destination] != i }), nil
}

func (b *builder) requestedMount(i int, m *runtimeapi.Mount) (specs.Mount, error) {
	source, err := b.source(i, m)
	if err != nil {
		return specs.Mount{}, err
	}
	propagation, err := b.propagation(source, m)
	if err != nil {
		return specs.Mount{}, err
	}
	mode, err := b.mode(m)
	if err != nil {
		return specs.Mount{}, err
	}
	if err := b.knowOptions(m.GetMountOptions()); err != nil {
		return specs.Mount{}, err
	}
	if m.GetSelinuxRelabel() && m.GetImage().GetImage() == "" {
		b.relabel(source)
	}
	if err := b.canMapIDs(m); err != nil {
		return specs.Mount{}, err
	}
	options := slices.Concat([]string{"rbind", propagation, mode}, m.GetMountOptions())
	if m.GetImage().GetImage() != "" {
		// What runs with more rights than its caller, or is a device, belongs to a root file system.
		options = append(options, "nosuid", "nodev")
	}
	return specs.Mount{
		Destination: inRoot(m.GetContainerPath()),
		Type:        "bind",
		Source:      source,
		Options:     options,
		UIDMappings: idMappings(m.GetUidMappings()),
		GIDMappings: idMappings(m.GetGidMappings()),
	}, nil
}

// canMapIDs refuses what an OCI runtime would leave out without a word: files would belong to
// the wrong users.
func (b *builder) canMapIDs(m *runtimeapi.Mount) error {
	switch f := b.in.Runtime.Features; {
	case len(m.GetUidMappings())+len(m.GetGidMappings()) == 0:
		return nil
	case !b.in.Host.IDMapSyscall:
		return fmt.Errorf("kernel %s has no idmapped mounts (5.12 and newer): %w", b.in.Host.Kernel.Release, errdefs.ErrFailedPrecondition)
	case f.Known && !f.UserNamespaces:
		return fmt.Errorf("the OCI runtime of this handler has no idmapped mounts (runc 1.2 and newer): %w", errdefs.ErrFailedPrecondition)
	}
	return nil
}

// imageSource is the place of an image mount (KEP-4639) on the host. Links in
// the sub path are followed inside of the image only.
func (b *builder) imageSource(i int, m *runtimeapi.Mount) (string, error) {
	root := b.in.ImageMounts[i]
	if root == "" {
		return "", fmt.Errorf("image %s has not been mounted: %w", m.GetImage().GetImage(), errdefs.ErrFailedPrecondition)
	}
	sub := m.GetImageSubPath()
	if sub == "" {
		return root, nil
	}
	source, err := securejoin.SecureJoin(root, sub)
	if err != nil {
		return "", fmt.Errorf("sub path %q of image %s: %w: %w", sub, m.GetImage().GetImage(), err, errdefs.ErrInvalidArgument)
	}
	if _, err := b.fs.Stat(source); err != nil {
		return "", fmt.Errorf("sub path %q does not exist in image %s: %w", sub, m.GetImage().GetImage(), errdefs.ErrNotFound)
	}
	return source, nil
}

// propagation is the mount's propagation, after a look whether the source can
// give it. A container whose mount propagates needs a root that does not cut it off.
func (b *builder) propagation(source string, m *runtimeapi.Mount) (string, error) {
	switch m.GetPropagation() {
	case runtimeapi.MountPropagation_PROPAGATION_BIDIRECTIONAL:
		if err := b.peer(source, "shared:"); err != nil {
			return "", err
		}
		b.s.Linux.RootfsPropagation = "rshared"
		return "rshared", nil
	case runtimeapi.MountPropagation_PROPAGATION_HOST_TO_CONTAINER:
		if err := b.peer(source, "shared:", "master:"); err != nil {
			return "", err
		}
		if b.s.Linux.RootfsPropagation != "rshared" {
			b.s.Linux.RootfsPropagation = "rslave"
		}
		return "rslave", nil
	}
	if m.GetPropagation() != runtimeapi.MountPropagation_PROPAGATION_PRIVATE {
		b.warn("Propagation %d of the mount at %s is unknown and ignored: the mount is private.", m.GetPropagation(), m.GetContainerPath())
	}
	return "rprivate", nil
}

// peer checks the mount that holds source: runc would silently make a mount
// without peers, from which nothing ever propagates.
func (b *builder) peer(source string, kinds ...string) error {
	info, err := b.fs.Mount(source)
	if err != nil {
		return err
	}
	if !hasPeer(info, kinds...) {
		return fmt.Errorf("mount propagation is asked for, but %s is on the mount %s, which is not shared; run \"mount --make-rshared %s\" on the node: %w",
			source, info.Mountpoint, info.Mountpoint, errdefs.ErrFailedPrecondition)
	}
	return nil
}

func hasPeer(info *mountinfo.Info, kinds ...string) bool {
	for field := range strings.FieldsSeq(info.Optional) {
		if slices.ContainsFunc(kinds, func(k string) bool { return strings.HasPrefix(field, k) }) {
			return true
		}
	}
	return false
}

// mode is rw, ro, or rro (KEP-3857). Image mounts are always read-only.
func (b *builder) mode(m *runtimeapi.Mount) (string, error) {
	if m.GetRecursiveReadOnly() {
		if !b.in.Runtime.Features.RecursiveReadOnly {
			return "", fmt.Errorf("%w: the runtime handler or kernel %s cannot make mounts read-only recursively (kernel 5.12 and runc 1.1 and newer can): %w",
				crierrors.ErrRROUnsupported, b.in.Host.Kernel.Release, errdefs.ErrFailedPrecondition)
		}
		return "rro", nil
	}
	if m.GetReadonly() || m.GetImage().GetImage() != "" {
		return "ro", nil
	}
	return "rw", nil
}

// knowOptions refuses options that the handler's binary does not know; it
// would hand them to the filesystem as data, where they have no effect.
func (b *builder) knowOptions(options []string) error {
	known := b.in.Runtime.Features.MountOptions
	for _, o := range options {
		if len(known) > 0 && !slices.Contains(known, o) {
			return fmt.Errorf("the runtime handler does not know the mount option %s: %w", o, errdefs.ErrFailedPrecondition)
		}
	}
	return nil
}

// validateMount refuses what no host can mount.
func validateMount(m *runtimeapi.Mount) error {
	invalid := func(format string, args ...any) error {
		return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), errdefs.ErrInvalidArgument)
	}
	image := m.GetImage().GetImage() != ""
	switch {
	case m.GetContainerPath() == "":
		return invalid("container_path is missing")
	case inRoot(m.GetContainerPath()) == "/":
		return invalid("container_path cannot be the root")
	case image && m.GetHostPath() != "":
		return invalid("host_path %q and an image exclude each other", m.GetHostPath())
	case !image && m.GetImageSubPath() != "":
		return invalid("image_sub_path %q without an image", m.GetImageSubPath())
	case image && m.GetImageSubPath() != "" && !filepath.IsLocal(m.GetImageSubPath()):
		return invalid("image_sub_path %q leads out of the image", m.GetImageSubPath())
	case !image && !path.IsAbs(m.GetHostPath()):
		return invalid("host_path %q is not absolute", m.GetHostPath())
	case m.GetRecursiveReadOnly() && !m.GetReadonly():
		return invalid("recursive_read_only needs readonly")
	case m.GetRecursiveReadOnly() && m.GetPropagation() != runtimeapi.MountPropagation_PROPAGATION_PRIVATE:
		return invalid("recursive_read_only needs private propagation, not %s", m.GetPropagation())
	}
	for _, o := range m.GetMountOptions() {
		if !slices.Contains(bindOptions, o) {
			return invalid("mount option %q is not allowed; there are %s", o, strings.Join(bindOptions, ", "))
		}
	}
	return nil
}

// bindOptions are the options that a request may add (KEP-5855 names the first
// three). What would change the kind of a mount has fields of its own.
var bindOptions = []string{"noexec", "nodev", "nosuid", "nosymfollow", "noatime", "nodiratime", "relatime", "strictatime",
	"rnoexec", "rnodev", "rnosuid", "rnosymfollow", "rnoatime", "rnodiratime", "rrelatime", "rstrictatime"}
