package cni

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/containernetworking/cni/libcni"

	"github.com/berth-run/berth/internal/netns"
)

// Detach runs DEL of every network the pod is or may be attached to, with the configuration it was
// attached with. It is idempotent and needs nothing but PodID, though the more of the attachment
// is known the better: without record and cache it is all there is. Cancelling ctx does not
// interrupt plugins. Errors have the classes of Attach; after one, Detach is to be retried.
func (m *Manager) Detach(ctx context.Context, att Attachment) (err error) {
	if err := validateID(att.PodID); err != nil {
		return err
	}
	if m.detached.has(att.PodID) {
		return nil
	}
	begin := time.Now()
	defer func() { m.observe("DEL", err, begin) }()
	return m.detach(ctx, att, func() bool { return false })
}

// detach undoes a pod's attachments, unless keep says no once the pod is locked.
func (m *Manager) detach(ctx context.Context, att Attachment, keep func() bool) error {
	rec, err := m.lockPod(ctx, att.PodID, m.opts.Timeouts.Del)
	if err != nil {
		return fmt.Errorf("detach pod %s: %w", podName(att), err)
	}
	forget := false
	defer func() { m.unlockPod(rec, forget) }()
	if keep() {
		return nil
	}
	if err := m.detachLocked(ctx, att, rec); err != nil {
		m.owe(ctx, rec)
		return fmt.Errorf("detach pod %s from its network: %w", podName(att), err)
	}
	m.letGo(att.PodID)
	forget = true
	return nil
}

// target is the DEL of one network. A network of the record notes there what is done.
type target struct {
	network *recordNetwork
	list    *libcni.NetworkConfigList
	args    [][2]string
	caps    map[string]any
	// last makes the DEL the last attempt: a plugin that fails does not keep the plugins before it from their DEL.
	last bool
}

// detachLocked runs the DELs of all plugins, the last network first, going on after a failure.
func (m *Manager) detachLocked(ctx context.Context, att Attachment, rec *record) error {
	var errs []error
	for _, t := range slices.Backward(m.targets(att, rec)) {
		if err := m.delete(m.run(ctx, t.network.Builtin, rec), t, t.runtimeConf(att, rec)); err != nil {
			errs = append(errs, fmt.Errorf("network %q: %w", t.network.Name, classify(err)))
		}
	}
	return errors.Join(errs...)
}

// runtimeConf is the call's part of what the plugins get for their DEL.
func (t target) runtimeConf(att Attachment, rec *record) *libcni.RuntimeConf {
	return &libcni.RuntimeConf{
		ContainerID: att.PodID, NetNS: cmp.Or(att.NetNS, rec.data.NetNS), IfName: t.network.IfName, Args: t.args, CapabilityArgs: t.caps,
	}
}

// delete runs one DEL. A path that is no namespace (any more) must not reach the plugins: they
// fail on it, for ever. Without a namespace bridge and ptp leave the masquerade rules behind, so
// those get an empty one.
func (m *Manager) delete(ctx context.Context, t target, rt *libcni.RuntimeConf) error {
	if netns.IsNamespace(rt.NetNS) {
		return m.deletePlugins(ctx, t, rt)
	}
	rt.NetNS = ""
	if masquerades(t.list) {
		err := netns.Scratch(func(path string) error {
			scratch := *rt
			scratch.NetNS = path
			return m.deletePlugins(ctx, t, &scratch)
		})
		if err == nil {
			return nil
		}
	}
	return m.deletePlugins(ctx, t, rt)
}

// masquerades is true where DEL without a namespace would leave rules.
func masquerades(list *libcni.NetworkConfigList) bool {
	return slices.ContainsFunc(list.Plugins, func(p *libcni.PluginConfig) bool {
		var conf struct {
			IPMasq bool `json:"ipMasq"`
		}
		known := p.Network.Type == "bridge" || p.Network.Type == "ptp"
		return known && json.Unmarshal(p.Bytes, &conf) == nil && conf.IPMasq
	})
}

// targets collects what a pod may be attached to: what its record says, what libcni has cached
// beyond that, and, where both know nothing, the current networks.
func (m *Manager) targets(att Attachment, rec *record) []target {
	var targets []target
	for i := range rec.data.Networks {
		n := &rec.data.Networks[i]
		if list := m.listFor(*n); list != nil {
			targets = append(targets, target{network: n, list: list, args: rec.data.Args, caps: rec.data.Caps})
		}
	}
	cached, _ := m.cni.GetCachedAttachments(att.PodID) // only the directory's own errors; then there are none
	for _, c := range cached {
		n := recordNetwork{Name: c.Network, IfName: c.IfName, Builtin: c.Network == m.opts.Default.Name, Config: c.Config}
		known := slices.ContainsFunc(targets, func(t target) bool { return t.network.Name == n.Name && t.network.IfName == n.IfName })
		if list := m.listFor(n); !known && list != nil {
			targets = append(targets, target{network: &n, list: list, args: c.CniArgs, caps: c.CapabilityArgs})
		}
	}
	if len(targets) > 0 {
		return targets
	}
	s := m.current.Load()
	for i, n := range s.networks {
		targets = append(targets, target{
			network: &recordNetwork{Name: n.list.Name, IfName: fmt.Sprintf("eth%d", i), Builtin: n.builtin},
			list:    n.list, args: att.arguments(), caps: att.capabilities(s.podCIDR),
		})
	}
	return targets
}

// listFor parses a recorded configuration; where that is broken, the current one of that name has
// to do. Nil when there is neither.
func (m *Manager) listFor(n recordNetwork) *libcni.NetworkConfigList {
	if list, err := n.list(); err == nil && len(list.Plugins) > 0 {
		return list
	}
	for _, cur := range m.current.Load().networks {
		if cur.list.Name == n.Name {
			return cur.list
		}
	}
	return nil
}

func podName(att Attachment) string {
	if att.Name == "" {
		return att.PodID
	}
	return att.Namespace + "/" + att.Name
}
