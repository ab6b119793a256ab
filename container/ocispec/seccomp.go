package ocispec

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// seccomp sets the filter. Privileged containers have none whatever they ask for.
func (b *builder) seccomp() error {
	if b.sc.Privileged {
		b.s.Linux.Seccomp = nil
		return nil
	}
	p, err := profile(b.sc.GetSeccomp(), b.sc.GetSeccompProfilePath()) //nolint:staticcheck // old clients still send it
	if err != nil {
		return err
	}
	if p == nil {
		return b.unsetSeccomp()
	}
	if p.GetProfileType() == runtimeapi.SecurityProfile_Unconfined {
		b.s.Linux.Seccomp = nil
		return nil
	}
	if err := b.canSeccomp(); err != nil {
		return err
	}
	if p.GetProfileType() == runtimeapi.SecurityProfile_Localhost {
		b.s.Linux.Seccomp, err = b.localSeccomp(p.GetLocalhostRef())
		return err
	}
	b.s.Linux.Seccomp = b.defaultSeccomp()
	return nil
}

// defaultSeccomp is containerd's profile. Without the x32 ABI in the kernel it need not be told what
// that may do: to make a filter of it takes the OCI runtime a third of the 30 ms of CPU that a
// filter for three ABIs costs, at every start and every exec.
func (b *builder) defaultSeccomp() *specs.LinuxSeccomp {
	p := seccomp.DefaultProfile(b.s)
	if b.in.Host.NoX32 {
		p.Architectures = slices.DeleteFunc(p.Architectures, func(a specs.Arch) bool { return a == specs.ArchX32 })
	}
	return p
}

// unsetSeccomp is for requests without a profile: the base spec's, or the
// node's default.
func (b *builder) unsetSeccomp() error {
	if b.s.Linux.Seccomp != nil {
		return nil
	}
	if file := b.in.Defaults.SeccompFile; file != "" {
		return b.nodeSeccomp(file)
	}
	if b.in.Defaults.Seccomp != SeccompRuntimeDefault {
		return nil
	}
	if err := b.canSeccomp(); err != nil {
		b.warn("The node's default seccomp profile is not applied: %v.", err)
		return nil
	}
	b.s.Linux.Seccomp = b.defaultSeccomp()
	return nil
}

// nodeSeccomp applies the profile that the administrator configured for requests without one.
// A container never runs without it.
func (b *builder) nodeSeccomp(file string) (err error) {
	if err = b.canSeccomp(); err == nil {
		b.s.Linux.Seccomp, err = b.localSeccomp(file)
	}
	if err != nil {
		return fmt.Errorf("the node's default profile (security.unset_seccomp_profile): %w", err)
	}
	return nil
}

// canSeccomp says why there can be no filter.
func (b *builder) canSeccomp() error {
	if !b.in.Host.Seccomp {
		return fmt.Errorf("this kernel has no seccomp filters: %w", errdefs.ErrFailedPrecondition)
	}
	if f := b.in.Runtime.Features; f.Known && !f.Seccomp {
		return fmt.Errorf("the OCI runtime is built without seccomp: %w", errdefs.ErrFailedPrecondition)
	}
	return nil
}

// localSeccomp reads a profile in OCI's format from the node.
func (b *builder) localSeccomp(file string) (*specs.LinuxSeccomp, error) {
	data, err := b.fs.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no seccomp profile %s on this node; put it there first: %w", file, errdefs.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the seccomp profile %s: %w", file, err)
	}
	var p specs.LinuxSeccomp
	if err := json.Unmarshal(data, &p); err != nil {
		return nil, fmt.Errorf("the seccomp profile %s is not in OCI's format: %w: %w", file, err, errdefs.ErrInvalidArgument)
	}
	if p.DefaultAction == "" {
		return nil, fmt.Errorf("the seccomp profile %s has no defaultAction: %w", file, errdefs.ErrInvalidArgument)
	}
	return &p, nil
}

// profile is the typed profile, or the one that the older string stands for,
// or nil when neither is set.
func profile(p *runtimeapi.SecurityProfile, old string) (*runtimeapi.SecurityProfile, error) {
	if p != nil {
		return p, nil
	}
	switch ref, local := strings.CutPrefix(old, "localhost/"); {
	case old == "":
		return nil, nil
	case old == "runtime/default", old == "docker/default":
		return &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_RuntimeDefault}, nil
	case old == "unconfined":
		return &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Unconfined}, nil
	case local && ref != "":
		return &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Localhost, LocalhostRef: ref}, nil
	}
	return nil, fmt.Errorf("unknown profile %q; there are runtime/default, unconfined and localhost/NAME: %w", old, errdefs.ErrInvalidArgument)
}

// validateSeccomp refuses profiles that name nothing that could be a file.
func validateSeccomp(sc *runtimeapi.LinuxContainerSecurityContext) error {
	p, err := profile(sc.GetSeccomp(), sc.GetSeccompProfilePath()) //nolint:staticcheck // old clients still send it
	if err != nil || p == nil {
		return err
	}
	if runtimeapi.SecurityProfile_ProfileType_name[int32(p.GetProfileType())] == "" {
		return fmt.Errorf("unknown profile type %d: %w", p.GetProfileType(), errdefs.ErrInvalidArgument)
	}
	if p.GetProfileType() == runtimeapi.SecurityProfile_Localhost && !path.IsAbs(p.GetLocalhostRef()) {
		return fmt.Errorf("localhost_ref %q is not an absolute path: %w", p.GetLocalhostRef(), errdefs.ErrInvalidArgument)
	}
	return nil
}
