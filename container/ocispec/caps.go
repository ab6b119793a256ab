package ocispec

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/moby/sys/capability"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// allCapabilities is the name that stands for every capability.
const allCapabilities = "ALL"

// DefaultCapabilities are what an unprivileged container has before add and
// drop: the set that Docker made the custom and that images rely on.
func DefaultCapabilities() []string {
	return []string{
		"CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER",
		"CAP_FSETID", "CAP_KILL", "CAP_MKNOD", "CAP_NET_BIND_SERVICE",
		"CAP_NET_RAW", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP",
		"CAP_SETUID", "CAP_SYS_CHROOT",
	}
}

// capabilities computes the sets: the defaults (all for a privileged
// container), then "ALL" of add and drop, then the single names, where drop
// has the last word. Ambient ones are added to all sets.
func (b *builder) capabilities() error {
	set := b.baseCapabilities()
	c := b.sc.GetCapabilities()
	if !b.sc.Privileged {
		var err error
		if set, err = b.addAndDrop(set, c); err != nil {
			return err
		}
	}
	ambient, err := b.named(c.GetAddAmbientCapabilities())
	if err != nil {
		return err
	}
	set = union(set, ambient)
	b.s.Process.Capabilities = &specs.LinuxCapabilities{
		Bounding:  set,
		Effective: slices.Clone(set),
		Permitted: slices.Clone(set),
		// Inheritable ones would survive an exec of files with capabilities
		// (CVE-2022-24769); only ambient ones need them.
		Inheritable: slices.Clone(ambient),
		Ambient:     ambient,
	}
	return nil
}

// baseCapabilities is the set before add and drop.
func (b *builder) baseCapabilities() []string {
	switch {
	case b.sc.Privileged:
		return b.grantable()
	case b.in.Runtime.BaseSpec != nil && b.in.Runtime.BaseSpec.Process != nil && b.in.Runtime.BaseSpec.Process.Capabilities != nil:
		return slices.Clone(b.in.Runtime.BaseSpec.Process.Capabilities.Bounding)
	case b.in.Defaults.Capabilities != nil:
		return b.have(b.in.Defaults.Capabilities)
	}
	return b.have(DefaultCapabilities())
}

// have leaves out those defaults that this process could not give.
func (b *builder) have(caps []string) []string {
	grantable := b.grantable()
	return slices.DeleteFunc(slices.Clone(caps), func(c string) bool { return !slices.Contains(grantable, c) })
}

// grantable are the capabilities that a container of this pod can have: a user
// namespace has all that the kernel knows, otherwise what this process has.
func (b *builder) grantable() []string {
	if b.userns != nil {
		return slices.Clone(b.in.Host.Capabilities)
	}
	return slices.Clone(b.in.Host.OwnCapabilities)
}

func (b *builder) addAndDrop(set []string, c *runtimeapi.Capability) ([]string, error) {
	if hasAll(c.GetAddCapabilities()) {
		set = b.grantable()
	}
	if hasAll(c.GetDropCapabilities()) {
		set = nil
	}
	add, err := b.named(withoutAll(c.GetAddCapabilities()))
	if err != nil {
		return nil, err
	}
	set = union(set, add)
	drop := map[string]bool{}
	for _, name := range withoutAll(c.GetDropCapabilities()) {
		if full := capabilityName(name); known(full) {
			drop[full] = true
		} else {
			b.skip("drop_capabilities", name, "there is no such capability")
		}
	}
	return slices.DeleteFunc(set, func(s string) bool { return drop[s] }), nil
}

// named are the capabilities that a request names, "ALL" expanded. One that nobody or this kernel
// knows is left out with a note, as runc leaves it out below containerd. One that the daemon itself has
// not is an error: the kernel would refuse to start the container.
func (b *builder) named(names []string) ([]string, error) {
	if hasAll(names) {
		return b.grantable(), nil
	}
	grantable := b.grantable()
	var out []string
	for _, n := range names {
		switch full := capabilityName(n); {
		case slices.Contains(grantable, full):
			out = append(out, full)
		case !known(full):
			b.skip("capabilities", n, "there is no such capability")
		case !slices.Contains(b.in.Host.Capabilities, full):
			b.skip("capabilities", n, fmt.Sprintf("kernel %s does not have it", b.in.Host.Kernel.Release))
		default:
			return nil, fmt.Errorf("the daemon itself has no capability %s to give; start it with that capability: %w", full, errdefs.ErrFailedPrecondition)
		}
	}
	return union(nil, out), nil
}

// skip notes that a capability was left out.
func (b *builder) skip(field, name, why string) {
	b.warn("%s: %q is ignored: %s.", field, name, why)
}

// capabilityName is the name as OCI has it, "CAP_NET_ADMIN"; the CRI's have no
// prefix, and people write both, and lower case.
func capabilityName(name string) string {
	full := strings.ToUpper(name)
	if !strings.HasPrefix(full, "CAP_") {
		full = "CAP_" + full
	}
	return full
}

// knownCapabilities are those of the newest kernel that this build knows, as OCI has them.
var knownCapabilities = sync.OnceValue(func() map[string]bool {
	all := map[string]bool{}
	for _, c := range capability.ListKnown() {
		all["CAP_"+strings.ToUpper(c.String())] = true
	}
	return all
})

// known reports whether a capability of that name exists in any kernel.
func known(full string) bool { return knownCapabilities()[full] }

func hasAll(names []string) bool {
	return slices.ContainsFunc(names, func(n string) bool {
		return strings.EqualFold(n, allCapabilities) || strings.EqualFold(n, "CAP_"+allCapabilities)
	})
}

func withoutAll(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return hasAll([]string{n}) })
}

// union is a followed by those of b that are not in a, each once.
func union(a, b []string) []string {
	have := make(map[string]bool, len(a))
	for _, x := range a {
		have[x] = true
	}
	for _, x := range b {
		if !have[x] {
			have[x] = true
			a = append(a, x)
		}
	}
	return a
}
