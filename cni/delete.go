package cni

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"
)

// deletePlugins runs DEL of a network's plugins, the last one first. A plugin that ran and failed ends it, as with
// libcni's own function: what it holds may name what the plugins before it hold (a port's rule names the address),
// which must not be given away before. A plugin that is gone is passed over, which libcni does not do: a
// plugin that is gone for good would keep all others from giving back what they hold. The last attempt passes over
// every plugin that fails. Plugins whose ADD has not begun, and plugins whose DEL is done, are left out.
func (m *Manager) deletePlugins(ctx context.Context, t target, rt *libcni.RuntimeConf) error {
	previous := m.previousResult(t.list, rt)
	var errs []error
	for i, p := range slices.Backward(t.list.Plugins) {
		n := t.network
		if n.Begun != nil && i >= *n.Begun || slices.Contains(n.Undone, i) {
			continue
		}
		if err := m.deletePlugin(ctx, t.list, p, previous, rt); err != nil {
			errs = append(errs, err)
			if !t.last && !isGone(err) {
				break
			}
			continue
		}
		n.Undone = append(n.Undone, i)
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	// Without plugins libcni removes its cached result, and does nothing else.
	return m.cni.DelNetworkList(ctx, &libcni.NetworkConfigList{Name: t.list.Name, CNIVersion: t.list.CNIVersion}, rt)
}

// isGone reports whether err says that a plugin was not found or is no program, or that no configuration can be made
// for it. A plugin that could not be started for another reason (the host had no process left, the binary was being
// written) is not gone: it may hold something, and a later attempt may be able to start it.
func isGone(err error) bool {
	var e *PluginError
	if !errors.As(err, &e) || e.Stage == StageLookup {
		return true
	}
	unusable := errors.Is(e, fs.ErrNotExist) || errors.Is(e, fs.ErrPermission) || errors.Is(e, syscall.ENOEXEC)
	return e.Stage == StageStart && unusable
}

// previousResult is the result of ADD, which DEL gets since version 0.4.0 of the specification; nil without one.
func (m *Manager) previousResult(list *libcni.NetworkConfigList, rt *libcni.RuntimeConf) types.Result {
	if since, err := version.GreaterThanOrEqualTo(list.CNIVersion, "0.4.0"); err != nil || !since {
		return nil
	}
	result, err := m.cni.GetNetworkListCachedResult(list, rt)
	if err != nil {
		return nil // damaged: DEL has to do without it
	}
	return result
}

// deletePlugin runs DEL of one plugin with the configuration that the CNI specification derives from the list
// (section 4, "Deriving runtime configuration").
func (m *Manager) deletePlugin(ctx context.Context, list *libcni.NetworkConfigList, p *libcni.PluginConfig, previous types.Result, rt *libcni.RuntimeConf) error {
	inject := map[string]any{"name": list.Name, "cniVersion": list.CNIVersion}
	if previous != nil {
		inject["prevResult"] = previous
	}
	capabilities := map[string]any{}
	for name, enabled := range p.Network.Capabilities {
		if value, ok := rt.CapabilityArgs[name]; enabled && ok {
			capabilities[name] = value
		}
	}
	if len(capabilities) > 0 {
		inject["runtimeConfig"] = capabilities
	}
	conf, err := libcni.InjectConf(p, inject)
	if err != nil {
		return fmt.Errorf("configuration of CNI plugin %q: %w", p.Network.Type, err)
	}
	path, err := m.exec.FindInPath(p.Network.Type, m.opts.BinDirs)
	if err != nil {
		return err
	}
	args := &invoke.Args{
		Command: "DEL", ContainerID: rt.ContainerID, NetNS: rt.NetNS, PluginArgs: rt.Args, IfName: rt.IfName,
		Path: strings.Join(m.opts.BinDirs, ":"),
	}
	return invoke.ExecPluginWithoutResult(ctx, path, conf.Bytes, args, m.exec)
}
