package cni

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/version"
)

// Reasons that [Status] gives for not being ready.
const (
	ReasonConfigMissing  = "NetworkConfigMissing"
	ReasonConfigInvalid  = "NetworkConfigInvalid"
	ReasonPluginMissing  = "NetworkPluginMissing"
	ReasonStatusPending  = "NetworkStatusPending"
	ReasonPluginNotReady = "NetworkPluginNotReady"
)

// Status is the NetworkReady condition of CRI Status.
type Status struct {
	Ready bool
	// Reason is one of the Reason constants, empty when ready.
	Reason string
	// Message says what to do; when ready it names the network, and files that were skipped.
	Message string
	// NetworkName is the main network's name, and File where it comes from ("" for the built-in one).
	NetworkName, File string
	// Skipped are the files of the directory that were not usable.
	Skipped []SkippedFile
}

// SkippedFile is a configuration file that was not used, and why.
type SkippedFile struct {
	File, Reason string
}

// equal compares what a reader of the status sees.
func (s Status) equal(o Status) bool {
	return s.Ready == o.Ready && s.Reason == o.Reason && s.Message == o.Message && s.NetworkName == o.NetworkName && s.File == o.File
}

// verdict is what the plugins last answered to STATUS, for the configuration with that fingerprint.
type verdict struct {
	fingerprint string
	err         error
}

// reload reads the configuration directory and publishes what follows from it.
func (m *Manager) reload() {
	m.load.Lock()
	defer m.load.Unlock()
	next := m.build(loadDir(m.opts.ConfDir, m.opts.MaxConfs))
	prev := m.current.Swap(next)
	if m.opts.Observer.ConfigLoaded != nil && (prev == nil || !prev.status.equal(next.status)) {
		m.opts.Observer.ConfigLoaded(next.status)
	}
}

// build makes a state of what was loaded.
func (m *Manager) build(l loaded) *state {
	s := &state{networks: l.networks, podCIDR: m.load.podCIDR}
	s.status.Skipped = l.skipped
	notReady := func(reason, format string, args ...any) *state {
		s.status.Reason, s.status.Message = reason, fmt.Sprintf(format, args...)
		return s
	}
	if l.err != nil {
		return notReady(ReasonConfigInvalid, "CNI configuration directory cannot be read: %v", l.err)
	}
	if len(l.networks) == 0 && len(l.skipped) > 0 {
		return notReady(ReasonConfigInvalid, "no usable CNI configuration in %s: %s", m.opts.ConfDir, describe(l.skipped))
	}
	if len(l.networks) == 0 && !m.opts.Default.Enabled {
		return notReady(ReasonConfigMissing, "no CNI configuration in %s, and the built-in network is off", m.opts.ConfDir)
	}
	if len(l.networks) == 0 {
		n, err := m.defaultNetwork(m.load.podCIDR)
		if err != nil {
			return notReady(ReasonConfigInvalid, "%v", err)
		}
		s.networks = []*network{n}
	}
	s.fingerprint = fingerprint(s.networks)
	s.status.NetworkName, s.status.File = s.networks[0].list.Name, s.networks[0].file
	if missing := m.missing(s.networks); missing != "" {
		return notReady(ReasonPluginMissing, "%s", missing)
	}
	if hasStatus(s.networks) {
		v := m.load.verdict
		if v.fingerprint != s.fingerprint {
			return notReady(ReasonStatusPending, "waiting for the CNI plugins of network %q (%s) to report their status", s.networks[0].list.Name, s.networks[0].source())
		}
		if v.err != nil {
			return notReady(ReasonPluginNotReady, "network %q (%s): %v", s.networks[0].list.Name, s.networks[0].source(), v.err)
		}
	}
	s.status.Ready = true
	s.status.Message = names(s.networks)
	if len(l.skipped) > 0 {
		s.status.Message += "; not usable: " + describe(l.skipped)
	}
	return s
}

// missing names binaries that are not there.
func (m *Manager) missing(networks []*network) string {
	var missing []string
	for _, n := range networks {
		for _, plugin := range n.pluginTypes() {
			if _, err := invoke.FindInPath(plugin, m.opts.BinDirs); err != nil {
				missing = append(missing, fmt.Sprintf("plugin %q of network %q (%s)", plugin, n.list.Name, n.source()))
			}
		}
		if n.needsTool != "" {
			if _, err := exec.LookPath(n.needsTool); err != nil {
				return fmt.Sprintf("the built-in network needs the %s program, which is not in PATH: install it, or put a CNI configuration into %s", n.needsTool, m.opts.ConfDir)
			}
		}
	}
	if len(missing) == 0 {
		return ""
	}
	return fmt.Sprintf("CNI %s not found in %s", strings.Join(missing, ", "), strings.Join(m.opts.BinDirs, ", "))
}

// probe asks the plugins of the current configuration for their STATUS and publishes the answer.
// Only Run calls it, one at a time.
func (m *Manager) probe(ctx context.Context) {
	s := m.current.Load()
	if len(s.networks) == 0 || !hasStatus(s.networks) {
		return
	}
	var errs []error
	for _, n := range s.networks {
		err := m.cni.GetStatusNetworkList(m.run(ctx, n.builtin, nil), n.list)
		if err != nil && !unknownVerb(err) {
			errs = append(errs, err)
		}
	}
	m.load.Lock()
	m.load.verdict = verdict{fingerprint: s.fingerprint, err: errors.Join(errs...)}
	m.load.Unlock()
	m.reload()
}

// hasStatus is true where some network's version has the verb.
func hasStatus(networks []*network) bool {
	for _, n := range networks {
		if atLeast11(n) {
			return true
		}
	}
	return false
}

func atLeast11(n *network) bool {
	ok, err := version.GreaterThanOrEqualTo(n.list.CNIVersion, "1.1.0")
	return err == nil && ok
}

// fingerprint identifies a configuration, file name and content.
func fingerprint(networks []*network) string {
	var b strings.Builder
	for _, n := range networks {
		fmt.Fprintf(&b, "%q %q\n", n.file, n.list.Bytes)
	}
	return b.String()
}

// names are the networks that a pod is attached to, in their order.
func names(networks []*network) string {
	var parts []string
	for _, n := range networks {
		parts = append(parts, fmt.Sprintf("network %q (%s)", n.list.Name, n.source()))
	}
	return strings.Join(parts, ", ")
}

func describe(skipped []SkippedFile) string {
	var parts []string
	for _, s := range skipped {
		parts = append(parts, fmt.Sprintf("%s: %s", s.File, s.Reason))
	}
	return strings.Join(parts, "; ")
}
