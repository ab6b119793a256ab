package sandbox

import (
	"fmt"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/cni"
	"github.com/berth-run/berth/container/ocispec"
	"github.com/berth-run/berth/internal/handler"
	"github.com/berth-run/berth/internal/netns"
)

// maxHostname is what sethostname(2) takes.
const maxHostname = 64

// validate refuses a request that cannot work, before any effect.
func (m *Manager) validate(config *runtimeapi.PodSandboxConfig, h *handler.Handler) error {
	meta := config.GetMetadata()
	switch {
	case config == nil:
		return invalid("config is missing")
	case meta == nil:
		return invalid("config.metadata is missing")
	case meta.GetName() == "":
		return invalid("config.metadata.name is empty")
	case meta.GetNamespace() == "":
		return invalid("config.metadata.namespace is empty")
	case meta.GetUid() == "":
		return invalid("config.metadata.uid is empty")
	case len(config.GetHostname()) > maxHostname:
		return invalid("config.hostname %q has %d characters, the kernel takes %d", config.GetHostname(), len(config.GetHostname()), maxHostname)
	}
	if err := validateCounts(config); err != nil {
		return err
	}
	if err := validateLines(config); err != nil {
		return err
	}
	if dir := config.GetLogDirectory(); dir != "" && !filepath.IsAbs(dir) {
		return invalid("config.log_directory %q is not absolute", dir)
	}
	s := &Sandbox{Config: config, Handler: h, ID: NewID()}
	if err := validateNamespaces(s); err != nil {
		return err
	}
	if err := m.place(s); err != nil {
		return err
	}
	ns := m.namespaceSpec(s)
	if err := netns.ValidateSysctls(config.GetLinux().GetSysctls(), ns.Net, ns.IPC, ns.UTS); err != nil {
		return err
	}
	if ns.Net || ns.IPC || ns.UTS || ns.User != nil {
		if err := netns.ValidateSpec(ns); err != nil {
			return err
		}
	}
	if s.HostNetwork() {
		return nil
	}
	att, err := m.attachment(s)
	if err != nil {
		return err
	}
	return cni.Validate(att)
}

// validateLines refuses values with control characters that get into files of lines: a line break in
// one of them would add lines to /etc/resolv.conf, /etc/hosts or /etc/hostname.
func validateLines(config *runtimeapi.PodSandboxConfig) error {
	dns := config.GetDnsConfig()
	for _, f := range []struct {
		field  string
		values []string
	}{
		{"hostname", []string{config.GetHostname()}},
		{"dns_config.servers", dns.GetServers()},
		{"dns_config.searches", dns.GetSearches()},
		{"dns_config.options", dns.GetOptions()},
	} {
		for _, value := range f.values {
			if strings.ContainsFunc(value, unicode.IsControl) {
				return invalid("config.%s: %q has a control character", f.field, value)
			}
		}
	}
	return nil
}

func validateNamespaces(s *Sandbox) error {
	o := s.namespaceOptions()
	if mode := o.GetPid(); mode == runtimeapi.NamespaceMode_TARGET {
		return invalid("namespace_options.pid is TARGET, which only a container can have")
	}
	return validateUserNamespace(s)
}

func validateUserNamespace(s *Sandbox) error {
	u := s.namespaceOptions().GetUsernsOptions()
	if u == nil || u.GetMode() == runtimeapi.NamespaceMode_NODE {
		if len(u.GetUids())+len(u.GetGids()) > 0 {
			return invalid("userns_options has mappings although its mode is NODE")
		}
		return nil
	}
	switch {
	case u.GetMode() != runtimeapi.NamespaceMode_POD:
		return invalid("userns_options.mode is %s; it can be POD or NODE", u.GetMode())
	case s.HostIPC():
		return invalid("userns_options.mode is POD with the host's IPC namespace")
	case s.namespaceOptions().GetPid() == runtimeapi.NamespaceMode_NODE:
		return invalid("userns_options.mode is POD with the host's PID namespace")
	case !s.Handler.UserNamespaces:
		return fmt.Errorf("userns_options.mode is POD, but user namespaces do not work with handler %q on this host (see runtime_handlers in Status): %w",
			s.Handler.Name, errdefs.ErrFailedPrecondition)
	}
	_, err := ocispec.UserNamespace(s.Config)
	return err
}

func invalid(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, errdefs.ErrInvalidArgument)...)
}
