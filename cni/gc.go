package cni

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/vishvananda/netlink"
)

// GC undoes every attachment that is neither in live nor made by this process, and tells
// plugins that know the GC verb (CNI 1.1) which attachments are valid. What is found: attachment
// records, libcni's cache, and for the built-in network host-local's reservations and bridges that no
// pod uses any more.
//
// Attachments that begin while a GC verb runs wait for it, since the plugin could not know them.
func (m *Manager) GC(ctx context.Context, live []Attachment) (err error) {
	begin := time.Now()
	defer func() { m.observe("GC", err, begin) }()
	alive := map[string]struct{}{}
	for _, att := range live {
		alive[att.PodID] = struct{}{}
	}
	var errs []error
	for _, podID := range m.remembered() {
		if _, ok := alive[podID]; ok || validateID(podID) != nil {
			continue
		}
		err := m.detach(ctx, Attachment{PodID: podID}, func() bool { return m.holds(podID) })
		if err != nil {
			errs = append(errs, fmt.Errorf("stale attachment: %w", err))
		}
	}
	errs = append(errs, m.gcVerb(ctx, alive))
	if m.opts.Default.Enabled {
		errs = append(errs, m.tendBridges(ctx, false))
	}
	return errors.Join(errs...)
}

// remembered lists every pod that has left a trace.
func (m *Manager) remembered() []string {
	var ids []string
	entries, _ := os.ReadDir(m.recordDir())
	for _, e := range entries {
		if id, ok := strings.CutSuffix(e.Name(), ".json"); ok {
			ids = append(ids, id)
		}
	}
	cached, _ := m.cni.GetCachedAttachments("")
	for _, c := range cached {
		ids = append(ids, c.ContainerID)
	}
	ids = append(ids, m.reserved()...)
	slices.Sort(ids)
	return slices.Compact(ids)
}

// reserved lists the pods that host-local holds an address for in the built-in network. The
// directory is Berth's own, so they are its own pods. A file is named for the address and says
// "<podID>\r\n<interface>".
func (m *Manager) reserved() []string {
	return slices.Collect(maps.Values(m.reservations()))
}

// reservations maps host-local's files to the pods that they are for.
func (m *Manager) reservations() map[string]string {
	pods := map[string]string{}
	if !m.opts.Default.Enabled {
		return pods
	}
	dir := filepath.Join(m.opts.Default.DataDir, m.opts.Default.Name)
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if _, err := netip.ParseAddr(e.Name()); err != nil {
			continue // lock, last_reserved_ip.N
		}
		path := filepath.Join(dir, e.Name())
		data, err := os.ReadFile(path)
		if id, _, ok := strings.Cut(string(data), "\r\n"); err == nil && ok {
			pods[path] = id
		}
	}
	return pods
}

// gcVerb runs GC of the networks that have it. libcni's own function is not used: it runs DELs for
// whatever is cached and not in the list, which would hit a pod attached in between.
func (m *Manager) gcVerb(ctx context.Context, alive map[string]struct{}) error {
	var errs []error
	for _, n := range m.current.Load().networks {
		if n.list.DisableGC || !atLeast11(n) {
			continue
		}
		m.gate.Lock()
		errs = append(errs, m.gcNetwork(ctx, n, m.valid(alive)))
		m.gate.Unlock()
	}
	return errors.Join(errs...)
}

// valid is the list of attachments a plugin must keep.
func (m *Manager) valid(alive map[string]struct{}) []types.GCAttachment {
	keep := map[string]struct{}{}
	for id := range alive {
		keep[id] = struct{}{}
	}
	m.attached.Lock()
	for id := range m.attached.pods {
		keep[id] = struct{}{}
	}
	m.attached.Unlock()
	valid := []types.GCAttachment{}
	for id := range keep {
		for i := range max(1, len(m.current.Load().networks)) {
			valid = append(valid, types.GCAttachment{ContainerID: id, IfName: fmt.Sprintf("eth%d", i)})
		}
	}
	return valid
}

func (m *Manager) gcNetwork(ctx context.Context, n *network, valid []types.GCAttachment) error {
	inject := map[string]any{
		"name": n.list.Name, "cniVersion": n.list.CNIVersion,
		"cni.dev/valid-attachments": valid, "cni.dev/attachments": valid, // both spellings are in use
	}
	var errs []error
	for _, p := range n.list.Plugins {
		conf, err := libcni.InjectConf(p, inject)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		path, err := m.exec.FindInPath(p.Network.Type, m.opts.BinDirs)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		args := &invoke.Args{Command: "GC", Path: strings.Join(m.opts.BinDirs, ":")}
		err = invoke.ExecPluginWithoutResult(m.run(ctx, n.builtin, nil), path, conf.Bytes, args, m.exec)
		if err != nil && !unknownVerb(err) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// RemoveBridges deletes the built-in network's bridges that no pod is attached to: the plugin never
// does. For a clean host after the last pod (tests, doctor, uninstall); the next pod makes them anew.
func (m *Manager) RemoveBridges() error { return m.tendBridges(context.Background(), true) }

// tendBridges deletes the bridges that are idle, and looks after the rules of those that stay.
func (m *Manager) tendBridges(ctx context.Context, current bool) error {
	links, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("list bridges: %w", err)
	}
	idle := m.idle(links, current)
	var stay []string
	var errs []error
	for _, l := range links {
		name := l.Attrs().Name
		switch {
		case l.Type() != "bridge" || !m.isOurBridge(name):
		case !slices.Contains(idle, name):
			stay = append(stay, name)
		default:
			if err := netlink.LinkDel(l); err != nil {
				errs = append(errs, fmt.Errorf("delete idle bridge %s: %w", name, err))
				continue
			}
			errs = append(errs, m.unguardLoopback(ctx, name))
		}
	}
	return errors.Join(append(errs, m.guardBridges(ctx, stay))...)
}

// idle names the bridges of the built-in network that no pod uses, and none is about to use.
func (m *Manager) idle(links []netlink.Link, current bool) []string {
	inUse := map[string]bool{}
	if !current {
		for _, n := range m.current.Load().networks {
			inUse[bridgeOf(n)] = true
		}
	}
	ports := map[int]bool{}
	for _, l := range links {
		ports[l.Attrs().MasterIndex] = true
	}
	var idle []string
	for _, l := range links {
		a := l.Attrs()
		if l.Type() != "bridge" || ports[a.Index] || inUse[a.Name] || !m.isOurBridge(a.Name) {
			m.idleBridges.remove(a.Name)
			continue
		}
		if !current && !m.idleBridges.has(a.Name) {
			// An attachment that began before the ranges changed may be about to use it.
			m.idleBridges.add(a.Name)
			continue
		}
		idle = append(idle, a.Name)
	}
	return idle
}
