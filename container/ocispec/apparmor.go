package ocispec

import (
	"fmt"
	"strings"

	"github.com/containerd/containerd/v2/contrib/apparmor"
	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// DefaultAppArmorProfile is the name under which the runtime's default profile is loaded.
const DefaultAppArmorProfile = "berth-default"

// loadedProfiles is where the kernel lists profiles, one a line: "name (mode)".
const loadedProfiles = "/sys/kernel/security/apparmor/profiles"

// LoadAppArmorProfile loads the runtime's default profile under that name
// unless it is loaded already. It needs apparmor_parser.
func LoadAppArmorProfile(name string) error {
	if err := apparmor.LoadDefaultProfile(name); err != nil {
		return fmt.Errorf("loading the AppArmor profile %s: %w", name, err)
	}
	return nil
}

// apparmor sets the profile. Where the kernel has AppArmor, a container that
// names none gets the default one, as Kubernetes documents it.
func (b *builder) apparmor() error {
	p, err := profile(b.sc.GetApparmor(), b.sc.GetApparmorProfile()) //nolint:staticcheck // old clients still send it
	if err != nil {
		return err
	}
	kind := p.GetProfileType() // RuntimeDefault where p is nil
	if kind == runtimeapi.SecurityProfile_Unconfined {
		b.s.Process.ApparmorProfile = ""
		return nil
	}
	if !b.in.Host.AppArmor || b.in.Defaults.DisableAppArmor {
		if p == nil || b.sc.Privileged {
			return nil
		}
		return fmt.Errorf("profile %s asked for, but AppArmor is not enabled on this node: %w", kind, errdefs.ErrFailedPrecondition)
	}
	if kind == runtimeapi.SecurityProfile_Localhost {
		return b.localAppArmor(strings.TrimPrefix(p.GetLocalhostRef(), "localhost/"))
	}
	if b.sc.Privileged || (p == nil && b.s.Process.ApparmorProfile != "") {
		return nil
	}
	return b.defaultAppArmor(p != nil)
}

// defaultAppArmor applies the runtime's own profile, which the caller has to load.
func (b *builder) defaultAppArmor(explicit bool) error {
	name := b.in.Defaults.AppArmorProfile
	if name == "" {
		name = DefaultAppArmorProfile
	}
	if !b.in.Host.AppArmorParser && !b.loaded(name) {
		if explicit {
			return fmt.Errorf("the default profile cannot be loaded without apparmor_parser; install the package apparmor: %w", errdefs.ErrFailedPrecondition)
		}
		b.warn("No AppArmor profile is applied: apparmor_parser is not installed.")
		return nil
	}
	b.s.Process.ApparmorProfile = name
	b.out.LoadAppArmor = name
	return nil
}

// localAppArmor applies a profile that an administrator has loaded.
func (b *builder) localAppArmor(name string) error {
	if !b.loaded(name) {
		return fmt.Errorf("the AppArmor profile %q is not loaded on this node; load it with apparmor_parser first: %w", name, errdefs.ErrNotFound)
	}
	b.s.Process.ApparmorProfile = name
	return nil
}

func (b *builder) loaded(name string) bool {
	data, err := b.fs.ReadFile(loadedProfiles)
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(line, name+" (") {
			return true
		}
	}
	return false
}

// validateAppArmor refuses profiles without a name.
func validateAppArmor(sc *runtimeapi.LinuxContainerSecurityContext) error {
	p, err := profile(sc.GetApparmor(), sc.GetApparmorProfile()) //nolint:staticcheck // old clients still send it
	if err != nil || p == nil {
		return err
	}
	if runtimeapi.SecurityProfile_ProfileType_name[int32(p.GetProfileType())] == "" {
		return fmt.Errorf("unknown profile type %d: %w", p.GetProfileType(), errdefs.ErrInvalidArgument)
	}
	if p.GetProfileType() == runtimeapi.SecurityProfile_Localhost && p.GetLocalhostRef() == "" {
		return fmt.Errorf("localhost_ref is empty: %w", errdefs.ErrInvalidArgument)
	}
	return nil
}
