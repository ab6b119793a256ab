package cni

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containernetworking/cni/libcni"
	"k8s.io/klog/v2"
)

// Debt is what the DELs of a pod still owe.
type Debt struct {
	// Since is when a DEL failed for the first time, also in an earlier daemon.
	Since time.Time `json:"since"`
	// Plugins are the plugins whose DEL is to be done, as NETWORK/PLUGIN.
	Plugins []string `json:"plugins"`
}

// owe notes in the pod's record since when its DEL is owed, and which parts are done.
func (m *Manager) owe(ctx context.Context, rec *record) {
	if rec.data.Owed.IsZero() {
		rec.data.Owed = time.Now().UTC()
	}
	if err := rec.write(); err != nil {
		klog.FromContext(ctx).Error(err, "Cannot note that a CNI DEL is owed; its age begins again with the next daemon", "podID", rec.data.PodID)
	}
}

// Debt returns what is owed for a pod. It reads the pod's record and waits for no plugin. NotFound when there is no
// record.
func (m *Manager) Debt(podID string) (Debt, error) {
	rec, err := m.recorded(podID)
	if err != nil {
		return Debt{}, err
	}
	d := Debt{Since: rec.Owed}
	for _, n := range rec.Networks {
		d.Plugins = append(d.Plugins, m.unfinished(n)...)
	}
	return d, nil
}

// unfinished names the plugins of a network whose DEL is to be done.
func (m *Manager) unfinished(n recordNetwork) (plugins []string) {
	list := m.listFor(n)
	if list == nil {
		return []string{n.Name}
	}
	for i, p := range list.Plugins {
		if (n.Begun == nil || i < *n.Begun) && !slices.Contains(n.Undone, i) {
			plugins = append(plugins, n.Name+"/"+p.Network.Type)
		}
	}
	return plugins
}

func (m *Manager) recorded(podID string) (recordData, error) {
	if err := validateID(podID); err != nil {
		return recordData{}, err
	}
	data, err := os.ReadFile(m.recordPath(podID))
	if err != nil {
		return recordData{}, fmt.Errorf("pod %s has no attachment record: %w", podID, errdefs.ErrNotFound)
	}
	rec, err := parseRecord(data)
	if err != nil {
		return rec, fmt.Errorf("attachment record of pod %s: %w: %w", podID, err, errdefs.ErrNotFound)
	}
	return rec, nil
}

// GiveUp makes the last attempt of a pod's DEL, and forgets the attachment however the attempt ends. Each plugin whose
// DEL is to be done is run, also behind a plugin that fails, so that an address goes back to its IPAM service when the
// plugin for the host ports fails. What a plugin that failed holds outside of the pod's network namespace stays
// for good; addresses of the built-in network are given back in any case. GiveUp returns the plugins whose DEL was not
// done. It waits for plugins as Detach does: cancelling ctx does not interrupt them.
func (m *Manager) GiveUp(ctx context.Context, podID string) (Debt, error) {
	if err := validateID(podID); err != nil {
		return Debt{}, err
	}
	rec, err := m.lockPod(ctx, podID, m.opts.Timeouts.Del)
	if err != nil {
		return Debt{}, fmt.Errorf("give up the network of pod %s: %w", podID, err)
	}
	defer m.unlockPod(rec, true)
	debt := Debt{Since: rec.data.Owed}
	att := Attachment{PodID: podID}
	for _, t := range slices.Backward(m.targets(att, rec)) {
		t.last = true
		rt := t.runtimeConf(att, rec)
		if err := m.delete(m.run(ctx, t.network.Builtin, rec), t, rt); err == nil {
			continue
		}
		debt.Plugins = append(debt.Plugins, m.unfinished(*t.network)...)
		// Without plugins libcni removes its cached result, and does nothing else.
		_ = m.cni.DelNetworkList(ctx, &libcni.NetworkConfigList{Name: t.list.Name, CNIVersion: t.list.CNIVersion}, rt)
	}
	m.releaseAddresses(podID)
	m.letGo(podID)
	return debt, nil
}

// releaseAddresses removes host-local's reservations for a pod in the built-in network.
func (m *Manager) releaseAddresses(podID string) {
	for path, id := range m.reservations() {
		if id == podID {
			_ = os.Remove(path)
		}
	}
}
