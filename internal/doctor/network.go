package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/berth-run/berth/internal/netns"
)

// veths are the ports of the built-in network's bridges. One belongs to the pod in whose
// network namespace its peer is.
func (d *Doctor) veths(context.Context) ([]Finding, error) {
	if d.Bridge == "" {
		return nil, nil
	}
	links, err := linkList()
	if err != nil {
		return nil, fmt.Errorf("list network interfaces: %w", err)
	}
	bridges := map[int]bool{}
	for _, l := range links {
		if name := l.Attrs().Name; name == d.Bridge || strings.HasPrefix(name, d.Bridge+"-") {
			bridges[l.Attrs().Index] = true
		}
	}
	if len(bridges) == 0 {
		return nil, nil
	}
	owners, err := d.peers()
	if err != nil {
		return nil, err
	}
	var found []Finding
	for _, l := range links {
		if l.Type() != "veth" || !bridges[l.Attrs().MasterIndex] {
			continue
		}
		name, index := l.Attrs().Name, l.Attrs().Index
		f := Finding{
			Kind: "veth", Name: name, ID: owners[index], order: orderNetwork,
			fix: func(context.Context) error {
				link, err := netlink.LinkByIndex(index)
				if err != nil || link.Attrs().Name != name {
					return nil // gone
				}
				return netlink.LinkDel(link)
			},
		}
		if owners[index] == "" && l.Attrs().NetNsID >= 0 {
			f.LeftAlone = "its other end is in a network namespace that is none of a pod's, and that somebody keeps"
		}
		found = append(found, f)
	}
	return found, nil
}

// peers maps the host's interfaces to the pods that have their other ends.
func (d *Doctor) peers() (map[int]string, error) {
	entries, err := os.ReadDir(d.Paths.Pods())
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	owners := map[int]string{}
	for _, e := range entries {
		path := d.Paths.PodNetNS(e.Name())
		if !netns.IsNamespace(path) {
			continue
		}
		err := netns.Do(path, func() error {
			links, err := linkList()
			for _, l := range links {
				if l.Attrs().ParentIndex != 0 {
					owners[l.Attrs().ParentIndex] = e.Name()
				}
			}
			return err
		})
		if err != nil && netns.IsNamespace(path) {
			return nil, fmt.Errorf("look into the network of pod %s: %w", e.Name(), err)
		}
	}
	return owners, nil
}

// attachments are what CNI remembers of pods: Berth's records, libcni's cache, and the
// addresses that host-local holds in the built-in network.
func (d *Doctor) attachments(context.Context) ([]Finding, error) {
	var found []Finding
	add := func(kind, path, owner string) {
		if owner == "" {
			return
		}
		f := Finding{Kind: kind, Name: path, ID: owner, order: orderNetwork}
		if d.Detach != nil {
			f.fix = func(ctx context.Context) error { return d.Detach(ctx, owner) }
		}
		found = append(found, f)
	}
	for kind, dir := range map[string]string{"CNI attachment": "attachments", "CNI result": "results"} {
		names, err := list(filepath.Join(d.Paths.CNICache(), dir))
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			add(kind, name, id.FindString(filepath.Base(name)))
		}
	}
	networks, err := list(d.Paths.CNIAddresses())
	if err != nil {
		return nil, err
	}
	for _, network := range networks {
		names, err := list(network)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			content, _ := os.ReadFile(name) // it may have gone
			add("address", name, id.FindString(string(content)))
		}
	}
	return found, nil
}

// linkList reads the interfaces again when some came or went meanwhile.
func linkList() (all []netlink.Link, err error) {
	for range 20 {
		if all, err = netlink.LinkList(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return all, err
}

// list are the full names of what is in a directory; one that is missing is empty.
func list(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		names = append(names, filepath.Join(dir, e.Name()))
	}
	return names, err
}
