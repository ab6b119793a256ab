package cgroup

import (
	"errors"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/sys/mountinfo"
)

func v1Mount(name, opts string) *mountinfo.Info {
	return &mountinfo.Info{FSType: "cgroup", Mountpoint: "/sys/fs/cgroup/" + name, VFSOptions: opts}
}

func TestLayout(t *testing.T) {
	unified := &mountinfo.Info{FSType: "cgroup2", Mountpoint: "/sys/fs/cgroup", VFSOptions: "rw,nsdelegate"}
	beside := &mountinfo.Info{FSType: "cgroup2", Mountpoint: "/sys/fs/cgroup/unified", VFSOptions: "rw"}
	both := v1Mount("cpu,cpuacct", "rw,cpu,cpuacct")
	named := v1Mount("systemd", "rw,xattr,release_agent=/lib/x,name=systemd")
	elsewhere := &mountinfo.Info{FSType: "cgroup", Mountpoint: "/mnt/memory", VFSOptions: "rw,memory"}
	v1 := map[string]string{
		"cpu": "/sys/fs/cgroup/cpu,cpuacct", "cpuacct": "/sys/fs/cgroup/cpu,cpuacct",
		"name=systemd": "/sys/fs/cgroup/systemd",
	}
	for name, c := range map[string]struct {
		mounts      []*mountinfo.Info
		mode        Mode
		controllers map[string]string
		fails       error
	}{
		"v2":                          {mounts: []*mountinfo.Info{unified}, mode: Unified},
		"v1":                          {mounts: []*mountinfo.Info{both, named, elsewhere}, mode: Legacy, controllers: v1},
		"hybrid":                      {mounts: []*mountinfo.Info{both, beside, named}, mode: Hybrid, controllers: v1},
		"v2 with v1 for a controller": {mounts: []*mountinfo.Info{unified, elsewhere}, mode: Unified},
		"none":                        {mounts: []*mountinfo.Info{elsewhere}, fails: errdefs.ErrFailedPrecondition},
	} {
		t.Run(name, func(t *testing.T) {
			h, err := layout("/sys/fs/cgroup", Cgroupfs, c.mounts)
			if c.fails != nil {
				if !errors.Is(err, c.fails) {
					t.Fatalf("error %v, want %v", err, c.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if h.Mode != c.mode || len(h.Controllers) != len(c.controllers) ||
				(len(c.controllers) > 0 && !reflect.DeepEqual(h.Controllers, c.controllers)) {
				t.Errorf("got %s %v, want %s %v", h.Mode, h.Controllers, c.mode, c.controllers)
			}
		})
	}
}

func TestChooseDriver(t *testing.T) {
	with, without := t.TempDir(), filepath.Join(t.TempDir(), "absent")
	for _, c := range []struct {
		override, dir string
		want          Driver
		fails         error
	}{
		{"", with, Systemd, nil},
		{"", without, Cgroupfs, nil},
		{"cgroupfs", with, Cgroupfs, nil},
		{"systemd", with, Systemd, nil},
		{"systemd", without, "", errdefs.ErrFailedPrecondition},
		{"Systemd", with, "", errdefs.ErrInvalidArgument},
	} {
		got, err := chooseDriver(c.override, c.dir)
		if got != c.want || !errors.Is(err, c.fails) {
			t.Errorf("%q with %s: %q %v, want %q %v", c.override, c.dir, got, err, c.want, c.fails)
		}
	}
}
