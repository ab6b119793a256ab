package cgroup

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/sys/mountinfo"
)

// systemdRunDir exists exactly where systemd is the init (sd_booted(3)).
const systemdRunDir = "/run/systemd/system"

// Detect finds the layout of the host. driver overrides the driver ("cgroupfs" or
// "systemd"); "" chooses systemd where it is init and manages the host, else cgroupfs.
// errdefs.ErrInvalidArgument for another word, errdefs.ErrFailedPrecondition for
// systemd where it does not run or where no cgroups are mounted.
func Detect(driver string) (*Host, error) {
	d, err := chooseDriver(driver, systemdRunDir)
	if err != nil {
		return nil, err
	}
	mounts, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("cgroup", "cgroup2"))
	if err != nil {
		return nil, fmt.Errorf("read the cgroup mounts of this host: %w", err)
	}
	return layout(DefaultRoot, d, mounts)
}

// chooseDriver validates an override or looks for a running systemd at runDir.
func chooseDriver(override, runDir string) (Driver, error) {
	st, err := os.Stat(runDir)
	running := err == nil && st.IsDir()
	switch Driver(override) {
	case "":
		if running {
			return Systemd, nil
		}
		return Cgroupfs, nil
	case Cgroupfs:
		return Cgroupfs, nil
	case Systemd:
		if !running {
			return "", fmt.Errorf("cgroup driver %q: systemd is not the init of this host (%s is missing); use %q: %w",
				Systemd, runDir, Cgroupfs, errdefs.ErrFailedPrecondition)
		}
		return Systemd, nil
	}
	return "", fmt.Errorf("cgroup driver %q: want %q, %q or nothing: %w",
		override, Cgroupfs, Systemd, errdefs.ErrInvalidArgument)
}

// layout derives the mode and the controllers' mount points from the cgroup mounts below root.
func layout(root string, driver Driver, mounts []*mountinfo.Info) (*Host, error) {
	h := &Host{Root: root, Driver: driver, Controllers: map[string]string{}}
	var unified, hybrid bool
	for _, m := range mounts {
		switch {
		case m.FSType == "cgroup2" && m.Mountpoint == root:
			unified = true
		case m.FSType == "cgroup2" && m.Mountpoint == filepath.Join(root, "unified"):
			hybrid = true
		case m.FSType == "cgroup" && strings.HasPrefix(m.Mountpoint, root+"/"):
			for _, c := range controllersOf(m.VFSOptions) {
				// A hierarchy can be mounted more than once; the first mount is the usual place.
				if _, ok := h.Controllers[c]; !ok {
					h.Controllers[c] = m.Mountpoint
				}
			}
		}
	}
	switch {
	case unified:
		h.Mode, h.Controllers = Unified, nil
	case len(h.Controllers) == 0:
		return nil, fmt.Errorf("no cgroup hierarchy is mounted at %s: mount cgroup2 there: %w",
			root, errdefs.ErrFailedPrecondition)
	case hybrid:
		h.Mode = Hybrid
	default:
		h.Mode = Legacy
	}
	return h, nil
}

// controllersOf picks the controllers out of a v1 superblock's options, which
// also hold flags.
func controllersOf(options string) []string {
	var out []string
	for _, o := range strings.Split(options, ",") {
		switch {
		case o == "", o == "rw", o == "ro", o == "xattr", o == "noprefix", o == "clone_children",
			o == "cpuset_v2_mode", strings.HasPrefix(o, "release_agent="):
		default:
			out = append(out, o)
		}
	}
	return out
}
