package cgroup

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/cgroups/systemd"
)

// ours names what belongs to Berth: the parent cgroup of pods without one, and
// the prefix of systemd scopes.
const ours = "berth"

// Paths are the directories of one cgroup: for v1 one for each controller
// (key "memory", "cpu", "name=systemd", ...), for v2 exactly one under the key "".
// A hybrid host has both, the v2 one without controllers. A directory need not exist.
type Paths map[string]string

// ContainerPath is the OCI linux.cgroupsPath of a container: "/parent/<id>" for
// cgroupfs, "parent.slice:berth:<id>" for systemd. parent is what PodParent gave.
func ContainerPath(driver Driver, parent, id string) string {
	if driver == Systemd {
		return parent + ":" + ours + ":" + id
	}
	return filepath.Join("/", parent, id)
}

// ContainerPath is the OCI linux.cgroupsPath of a container on this host.
func (h *Host) ContainerPath(parent, id string) string { return ContainerPath(h.Driver, parent, id) }

// PodParent is the cgroup parent of a pod: the one the kubelet gave in
// LinuxPodSandboxConfig.cgroup_parent, in the syntax of the driver in use, or
// one of our own below /berth when it gave none. own tells the two apart: only a
// parent of our own is made by EnsurePod and removed by RemovePod. A parent that
// leaves the tree ("..") or is no name for the driver is errdefs.ErrInvalidArgument.
func (h *Host) PodParent(given, podID string) (parent string, own bool, err error) {
	if given == "" {
		if h.Driver == Systemd {
			return ours + "-pod" + podID + ".slice", true, nil
		}
		return "/" + ours + "/" + podID, true, nil
	}
	for _, part := range strings.Split(given, "/") {
		if part == ".." {
			return "", false, fmt.Errorf("cgroup parent %q of pod %s leaves the cgroup tree: %w",
				given, podID, errdefs.ErrInvalidArgument)
		}
	}
	if strings.ContainsAny(given, "\x00\n:") {
		return "", false, fmt.Errorf("cgroup parent %q of pod %s has a character that no cgroup can have: %w",
			given, podID, errdefs.ErrInvalidArgument)
	}
	if h.Driver != Systemd {
		return filepath.Join("/", given), false, nil
	}
	parent = sliceOf(given)
	if _, err := systemd.ExpandSlice(parent); err != nil {
		return "", false, fmt.Errorf("cgroup parent %q of pod %s is no slice of systemd (%w): %w",
			given, podID, err, errdefs.ErrInvalidArgument)
	}
	return parent, false, nil
}

// sliceOf turns a cgroupfs-style parent into a slice's name. The kubelet's systemd
// driver sends the expanded path, whose last element is the slice; any other path
// becomes a slice whose nesting is the path's, with "-" escaped as the kubelet does.
func sliceOf(given string) string {
	base := filepath.Base(given)
	if strings.HasSuffix(base, ".slice") {
		return base
	}
	var parts []string
	for _, p := range strings.Split(given, "/") {
		if p != "" && p != "." {
			parts = append(parts, strings.ReplaceAll(p, "-", "_"))
		}
	}
	if len(parts) == 0 {
		return "-.slice"
	}
	return strings.Join(parts, "-") + ".slice"
}

// Relative is the path below a hierarchy's mount of an OCI linux.cgroupsPath or of
// a pod parent, by its own syntax: a record can be older than a change of driver.
func Relative(path string) string {
	slice, rest, isUnit := strings.Cut(path, ":")
	if prefix, name, ok := strings.Cut(rest, ":"); isUnit && ok {
		dir, err := systemd.ExpandSlice(slice)
		if err != nil {
			dir = "/" + slice
		}
		return filepath.Join(dir, prefix+"-"+name+".scope")
	}
	if strings.HasSuffix(path, ".slice") && !strings.Contains(path, "/") {
		if dir, err := systemd.ExpandSlice(path); err == nil {
			return dir
		}
	}
	return filepath.Join("/", path)
}

// Resolve gives the directories of an OCI linux.cgroupsPath or of a pod parent.
func (h *Host) Resolve(path string) Paths {
	rel := Relative(path)
	if h.Mode == Unified {
		return Paths{"": filepath.Join(h.Root, rel)}
	}
	p := make(Paths, len(h.Controllers)+1)
	for c, mount := range h.Controllers {
		p[c] = filepath.Join(mount, rel)
	}
	if h.Mode == Hybrid {
		p[""] = filepath.Join(h.Root, "unified", rel)
	}
	return p
}

// Dirs are the distinct directories of p: v1 controllers can share a hierarchy.
func (p Paths) Dirs() []string {
	seen := make(map[string]bool, len(p))
	var out []string
	for _, dir := range p {
		if !seen[dir] {
			seen[dir] = true
			out = append(out, dir)
		}
	}
	return out
}

// isOwn reports whether parent is one that PodParent made up.
func isOwn(parent string) bool {
	rest, cgroupfs := strings.CutPrefix(parent, "/"+ours+"/")
	if cgroupfs {
		return rest != "" && !strings.Contains(rest, "/")
	}
	return strings.HasPrefix(parent, ours+"-pod") && strings.HasSuffix(parent, ".slice")
}
