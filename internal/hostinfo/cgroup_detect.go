package hostinfo

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/sys/mountinfo"
)

// cgroupRoot is the place that every distribution, the kubelet and runc agree on.
const cgroupRoot = "/sys/fs/cgroup"

// v1NoController are super options of a v1 cgroup mount that name no controller.
var v1NoController = []string{"rw", "ro", "xattr", "noprefix", "clone_children", "seclabel", "cpuset_v2_mode", "none", "favordynmods"}

// cgroup reads the layout from the mount table.
func (d *detector) cgroup(mounts []*mountinfo.Info) error {
	c := Cgroup{Root: cgroupRoot, Controllers: map[string]string{}}
	v1 := false
	for _, m := range mounts {
		if m.Mountpoint != cgroupRoot && path.Dir(m.Mountpoint) != cgroupRoot {
			continue
		}
		switch m.FSType {
		case "cgroup2":
			c.Unified = m.Mountpoint
		case "cgroup":
			v1 = true
			for _, name := range v1Controllers(m.VFSOptions) {
				if _, dup := c.Controllers[name]; !dup {
					c.Controllers[name] = m.Mountpoint
				}
			}
		}
	}
	switch {
	case v1 && c.Unified != "":
		c.Mode = CgroupHybrid
	case v1:
		c.Mode = CgroupV1
	case c.Unified == cgroupRoot:
		c.Mode = CgroupV2
		if err := d.v2Controllers(&c); err != nil {
			return err
		}
	default:
		return fmt.Errorf("no cgroup hierarchy is mounted under %s; mount cgroup2 there, or the v1 controllers in directories of it: %w",
			cgroupRoot, errdefs.ErrFailedPrecondition)
	}
	d.info.Cgroup = c
	return nil
}

// v1Controllers are the controllers in the super options of a v1 mount, e.g.
// "rw,cpu,cpuacct" or "rw,name=systemd".
func v1Controllers(super string) []string {
	var names []string
	for opt := range strings.SplitSeq(super, ",") {
		if slices.Contains(v1NoController, opt) || strings.HasPrefix(opt, "release_agent=") {
			continue
		}
		names = append(names, opt)
	}
	return names
}

func (d *detector) v2Controllers(c *Cgroup) error {
	data, err := os.ReadFile(filepath.Join(d.host(c.Root), "cgroup.controllers"))
	if err != nil {
		return fmt.Errorf("reading the controllers: %w", err)
	}
	for name := range strings.FieldsSeq(string(data)) {
		c.Controllers[name] = c.Root
	}
	// freezer and devices have no controller in v2, they are always there.
	c.Controllers["freezer"], c.Controllers["devices"] = c.Root, c.Root
	return nil
}

// swap finds out whether memory controllers account for swap, and how much there is.
func (d *detector) swap() {
	for line := range strings.Lines(d.text(d.proc("meminfo"))) {
		var kib uint64
		if n, _ := fmt.Sscanf(line, "SwapTotal: %d kB", &kib); n == 1 {
			d.info.SwapTotal = kib << 10
		}
	}
	c := d.info.Cgroup
	if !c.Has("memory") {
		return
	}
	if !c.IsV2() {
		d.info.Swap = exists(filepath.Join(d.host(c.Controllers["memory"]), "memory.memsw.limit_in_bytes"))
		return
	}
	// The root cgroup has no limits; this process's own one or, when that is the
	// root, any child with the memory controller tells.
	own := d.host(path.Join(c.Root, d.ownCgroup()))
	d.info.Swap = exists(filepath.Join(own, "memory.swap.max"))
	if !d.info.Swap {
		found, _ := filepath.Glob(filepath.Join(d.host(c.Root), "*", "memory.swap.max"))
		d.info.Swap = len(found) > 0
	}
	if !d.info.Swap && d.ownCgroup() == "/" {
		d.info.Swap = d.swapByKernel()
	}
}

// swapByKernel is for a machine without any cgroup yet, on which nothing but the root
// cgroup can be looked at: a kernel with swap accounts for it unless told not to.
func (d *detector) swapByKernel() bool {
	off := slices.Contains(strings.Fields(d.text(d.proc("cmdline"))), "swapaccount=0")
	return !off && exists(d.proc("swaps"))
}

// ownCgroup is this process's path in the unified hierarchy.
func (d *detector) ownCgroup() string {
	for line := range strings.Lines(d.text(d.proc("self/cgroup"))) {
		if p, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return p
		}
	}
	return "/"
}
