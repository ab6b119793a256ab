package ocispec

import (
	"fmt"
	"slices"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/internal/budget"
)

// Build makes the OCI spec of a container.
//
// It changes nothing on the host and never changes its input; the same input
// on the same host gives the same spec. Errors are classified:
// ErrInvalidArgument for what the request got wrong, ErrNotFound for a device or
// profile that is not there, ErrFailedPrecondition for what this
// host or handler cannot do.
func Build(in Input) (*Output, error) {
	b, err := newBuilder(in)
	if err != nil {
		return nil, err
	}
	// Seccomp's default profile depends on the capabilities, and CDI edits what
	// all others have made.
	for _, step := range []struct {
		what string
		run  func() error
	}{
		{"its image", b.imageCounts},
		{"its process", b.process},
		{"its user", b.user},
		{"its capabilities", b.capabilities},
		{"its namespaces", b.namespaces},
		{"its mounts", b.mounts},
		{"its masked and read-only paths", b.paths},
		{"its devices", b.devices},
		{"its resources", b.resources},
		{"its block-IO and RDT class", b.classes},
		{"its seccomp profile", b.seccomp},
		{"its AppArmor profile", b.apparmor},
		{"its SELinux labels", b.selinux},
		{"its annotations", b.annotations},
		{"its CDI devices", b.cdi},
		{"what it asks for in vain", b.vain},
	} {
		if err := step.run(); err != nil {
			return nil, fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return b.out, nil
}

// builder holds what the steps share.
type builder struct {
	in  Input
	fs  HostFS
	s   *specs.Spec
	out *Output
	// sc is never nil.
	sc *runtimeapi.LinuxContainerSecurityContext
	// userns are the pod's mappings, nil without a user namespace.
	userns *IDMappings
}

func newBuilder(in Input) (*builder, error) {
	if in.Host == nil || in.Config == nil || in.Sandbox.Config == nil {
		return nil, fmt.Errorf("building an OCI spec without facts about the host, a container or a pod: %w", errdefs.ErrInvalidArgument)
	}
	b := &builder{in: in, fs: in.FS, s: base(in), sc: in.Config.GetLinux().GetSecurityContext()}
	if b.fs == nil {
		b.fs = hostFS{}
	}
	if b.sc == nil {
		b.sc = &runtimeapi.LinuxContainerSecurityContext{}
	}
	var err error
	if b.userns, err = UserNamespace(in.Sandbox.Config); err != nil {
		return nil, err
	}
	b.out = &Output{Spec: b.s, UserNamespace: b.userns, RootfsReadonly: b.sc.ReadonlyRootfs}
	return b, nil
}

// warn adds a sentence to Output.Warnings, up to budget.Notes of them.
func (b *builder) warn(format string, args ...any) {
	if len(b.out.Warnings) >= budget.Notes {
		b.out.Warnings[budget.Notes-1] = "More was ignored than is listed here."
		return
	}
	b.out.Warnings = append(b.out.Warnings, fmt.Sprintf(format, args...))
}

// podName is "namespace/name" for messages.
func podName(pod *runtimeapi.PodSandboxConfig) string {
	return fmt.Sprintf("%s/%s", pod.GetMetadata().GetNamespace(), pod.GetMetadata().GetName())
}

// oldVersion of the runtime specification is for runtimes that do not say which ones they
// know: some refuse every other (crun up to 1.8).
const oldVersion = "1.0.2"

// base is the handler's base spec, or Berth's own, with everything that the
// steps rely on being there.
func base(in Input) *specs.Spec {
	s := &specs.Spec{Version: specs.Version}
	if in.Runtime.BaseSpec != nil {
		s = clone(in.Runtime.BaseSpec)
	}
	if s.Root == nil {
		s.Root = &specs.Root{}
	}
	if s.Process == nil {
		s.Process = &specs.Process{}
	}
	if s.Linux == nil {
		s.Linux = &specs.Linux{}
	}
	if s.Linux.Resources == nil {
		s.Linux.Resources = &specs.LinuxResources{}
	}
	if s.Mounts == nil {
		s.Mounts = defaultMounts()
	}
	s.Version = specs.Version
	if !in.Runtime.Features.Known {
		s.Version = oldVersion
	}
	// Relative to the bundle, where every shim mounts the snapshot.
	s.Root.Path = "rootfs"
	// The pod's UTS namespace has its hostname already.
	s.Hostname = ""
	s.Linux.CgroupsPath = in.CgroupsPath
	if !slices.ContainsFunc(s.Linux.Resources.Devices, func(d specs.LinuxDeviceCgroup) bool { return !d.Allow && d.Type == "" && d.Major == nil }) {
		s.Linux.Resources.Devices = append([]specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}, s.Linux.Resources.Devices...)
	}
	return s
}
