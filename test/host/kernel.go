package host

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
)

// mounts counts mount points below the directory; pinned namespaces are among them.
func mounts(_ context.Context, scope Scope, s Snapshot) error {
	content, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(content)) {
		before, after, _ := strings.Cut(line, " - ")
		fields, kind := strings.Fields(before), strings.Fields(after)
		if len(fields) > 4 && len(kind) > 0 && strings.HasPrefix(fields[4], scope.Dir+"/") {
			s.add("mount", "%s (%s)", fields[4], kind[0])
		}
	}
	return nil
}

// links counts network interfaces: the bridges, what is attached to them, and veth pairs
// attached to nothing, which a plugin that died may have left.
func links(_ context.Context, scope Scope, s Snapshot) error {
	all, err := linkList()
	if err != nil {
		return err
	}
	ours := map[int]bool{}
	for _, link := range all {
		if scope.bridge(link.Attrs().Name) {
			ours[link.Attrs().Index] = true
			if !scope.KeepBridges {
				s.add("bridge", "%s", link.Attrs().Name)
			}
		}
	}
	for _, link := range all {
		a := link.Attrs()
		if ours[a.MasterIndex] || (link.Type() == "veth" && a.MasterIndex == 0) {
			s.add("link", "%s", a.Name)
		}
	}
	return nil
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

// bridge recognises the bridges, and those that get a suffix for another address range.
func (scope Scope) bridge(name string) bool {
	for _, b := range scope.Bridges {
		if name == b || strings.HasPrefix(name, b+"-") {
			return true
		}
	}
	return false
}

const cgroupMount = "/sys/fs/cgroup"

// cgroups counts the cgroups below the parents, in every hierarchy. Those of pods that
// another runtime's shim serves are left out.
func cgroups(_ context.Context, scope Scope, s Snapshot) error {
	roots, err := hierarchies()
	if err != nil {
		return err
	}
	var found []string
	for _, root := range roots {
		for _, parent := range scope.Cgroups {
			err := filepath.WalkDir(filepath.Join(root, parent), func(path string, e fs.DirEntry, err error) error {
				if err == nil && e.IsDir() && path != filepath.Join(root, parent) {
					found = append(found, path)
				}
				return ignoreMissing(err)
			})
			if err != nil {
				return err
			}
		}
	}
	if len(found) == 0 {
		return nil
	}
	foreign := otherPods(scope)
	for _, path := range found {
		if !hasAny(path, foreign) {
			s.add("cgroup", "%s", path)
		}
	}
	return nil
}

// hierarchies are the mount points of cgroups: one on v2, one per controller on v1.
func hierarchies() ([]string, error) {
	if _, err := os.Stat(filepath.Join(cgroupMount, "cgroup.controllers")); err == nil {
		return []string{cgroupMount}, nil
	}
	entries, err := os.ReadDir(cgroupMount)
	if err != nil {
		return nil, err
	}
	var roots []string
	for _, e := range entries {
		if e.IsDir() {
			roots = append(roots, filepath.Join(cgroupMount, e.Name()))
		}
	}
	return roots, nil
}

// otherPods are the IDs of pods with a shim that does not belong to the scope.
func otherPods(scope Scope) []string {
	var ids []string
	for _, p := range allProcesses() {
		if !strings.Contains(p.name, "shim") || scope.owns(p) {
			continue
		}
		for n, arg := range p.args {
			if arg == "-id" && n+1 < len(p.args) {
				ids = append(ids, p.args[n+1])
			}
		}
	}
	return ids
}

func hasAny(s string, parts []string) bool {
	for _, part := range parts {
		if strings.Contains(s, part) {
			return true
		}
	}
	return false
}

// ignoreMissing is for things that go while they are looked at.
func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
