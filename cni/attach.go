package cni

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containernetworking/cni/libcni"

	"github.com/berth-run/berth/internal/netns"
)

// Attach runs ADD of every configured network. A failed ADD is undone by a DEL at once; if that
// fails as well the error wraps [ErrLeftBehind], and Detach must be retried. Cancelling ctx
// does not interrupt plugins: Attach returns when they are done.
//
// What an earlier Attach of the pod began or finished is undone first. A caller that wants to
// keep it looks at [Manager.CachedResult].
//
// Errors: InvalidArgument (bad attachment), Unavailable (no network configured, or a plugin
// said try again later), FailedPrecondition (namespace or plugin missing, bad network
// configuration), DeadlineExceeded (a plugin took too long), otherwise Internal.
func (m *Manager) Attach(ctx context.Context, att Attachment) (res *Result, err error) {
	begin := time.Now()
	defer func() { m.observe("ADD", err, begin) }()
	if err := Validate(att); err != nil {
		return nil, err
	}
	if !netns.IsNamespace(att.NetNS) {
		return nil, fmt.Errorf("attach pod %s/%s: network namespace %q does not exist: %w", att.Namespace, att.Name, att.NetNS, errdefs.ErrFailedPrecondition)
	}
	s, err := m.networks()
	if err != nil {
		return nil, err
	}
	// An ADD that ends at a plugin that is not there would leave what the plugins before it did, and
	// the DEL could not be done either.
	if missing := m.missing(s.networks); missing != "" {
		return nil, fmt.Errorf("attach pod %s/%s: %s; install it there, or name its directory in cni.bin_dirs: %w", att.Namespace, att.Name, missing, errdefs.ErrFailedPrecondition)
	}
	m.hold(att.PodID)
	rec, err := m.lockPod(ctx, att.PodID, m.opts.Timeouts.Add)
	if err != nil {
		return nil, fmt.Errorf("attach pod %s/%s: %w", att.Namespace, att.Name, err)
	}
	clean := false
	defer func() {
		if clean {
			m.letGo(att.PodID)
		}
		m.unlockPod(rec, clean)
	}()
	res, err = m.attachLocked(ctx, att, rec)
	if err == nil {
		return res, nil
	}
	err = fmt.Errorf("attach pod %s/%s to its network: %w", att.Namespace, att.Name, err)
	if undo := m.detachLocked(ctx, att, rec); undo != nil {
		m.owe(ctx, rec)
		return nil, errors.Join(err, fmt.Errorf("%w: %w", ErrLeftBehind, undo))
	}
	clean = true
	return nil, err
}

// attachLocked writes the record and runs the plugins.
func (m *Manager) attachLocked(ctx context.Context, att Attachment, rec *record) (*Result, error) {
	if !rec.empty() {
		if err := m.detachLocked(ctx, att, rec); err != nil {
			return nil, fmt.Errorf("undo an earlier attachment: %w", err)
		}
	}
	s, err := m.networks()
	if err != nil {
		return nil, err
	}
	rec.data = recordData{
		Version: recordVersion, PodID: att.PodID, NetNS: att.NetNS, Args: att.arguments(), Caps: att.capabilities(s.podCIDR),
	}
	for i, n := range s.networks {
		rec.data.Networks = append(rec.data.Networks, recordNetwork{
			Name: n.list.Name, IfName: fmt.Sprintf("eth%d", i), Builtin: n.builtin, Config: n.list.Bytes, Begun: new(int),
		})
	}
	if err := rec.write(); err != nil {
		return nil, fmt.Errorf("write attachment record: %w", err)
	}
	result := &Result{}
	for i, n := range s.networks {
		rn := rec.data.Networks[i]
		if bridge := bridgeOf(n); bridge != "" && publishesIPv4(att.Ports) {
			if err := m.guardLoopback(ctx, bridge); err != nil {
				return nil, fmt.Errorf("keep the pods of bridge %s from the host's 127.0.0.0/8: %w", bridge, err)
			}
		}
		got, err := m.cni.AddNetworkList(m.runAdd(ctx, rec, i), n.list, rec.runtimeConf(rn, att.NetNS))
		if err != nil {
			return nil, classify(fmt.Errorf("network %q (%s): %w", n.list.Name, n.source(), err))
		}
		if err := result.add(rn.Name, rn.IfName, got, m.opts.IPPreference); err != nil {
			return nil, err
		}
	}
	return result, nil
}

// runtimeConf is the call's part of what plugins get.
func (r *record) runtimeConf(n recordNetwork, ns string) *libcni.RuntimeConf {
	return &libcni.RuntimeConf{
		ContainerID: r.data.PodID, NetNS: ns, IfName: n.IfName, Args: r.data.Args, CapabilityArgs: r.data.Caps,
	}
}

// classify gives errors of libcni's own (a result that does not decode) a class.
func classify(err error) error {
	var plugin *PluginError
	if errors.As(err, &plugin) {
		return err
	}
	return fmt.Errorf("%w: %w", err, errdefs.ErrInternal)
}

func (m *Manager) observe(verb string, err error, begin time.Time) {
	if m.opts.Observer.Operation != nil {
		m.opts.Observer.Operation(verb, err, time.Since(begin))
	}
}
