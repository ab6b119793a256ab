package cgroup

import (
	"errors"
	"reflect"
	"testing"

	"github.com/containerd/errdefs"
)

func TestPodParent(t *testing.T) {
	for _, c := range []struct {
		driver Driver
		given  string
		parent string
		own    bool
		fails  error
	}{
		{Cgroupfs, "", "/berth/p1", true, nil},
		{Cgroupfs, "/kubepods/burstable/podx", "/kubepods/burstable/podx", false, nil},
		{Cgroupfs, "kubepods//podx/", "/kubepods/podx", false, nil},
		{Cgroupfs, "/", "/", false, nil},
		{Cgroupfs, "/kubepods/../../x", "", false, errdefs.ErrInvalidArgument},
		{Cgroupfs, "/a:b", "", false, errdefs.ErrInvalidArgument},
		{Systemd, "", "berth-podp1.slice", true, nil},
		{Systemd, "/kubepods.slice/kubepods-podx.slice", "kubepods-podx.slice", false, nil},
		{Systemd, "kubepods-podx.slice", "kubepods-podx.slice", false, nil},
		{Systemd, "/kubepods/burstable/pod1-2", "kubepods-burstable-pod1_2.slice", false, nil},
		{Systemd, "/", "-.slice", false, nil},
		{Systemd, "a--b.slice", "", false, errdefs.ErrInvalidArgument},
	} {
		h := &Host{Driver: c.driver}
		parent, own, err := h.PodParent(c.given, "p1")
		if parent != c.parent || own != c.own || !errors.Is(err, c.fails) {
			t.Errorf("%s %q: %q %v %v, want %q %v %v", c.driver, c.given, parent, own, err, c.parent, c.own, c.fails)
		}
		if err == nil && isOwn(parent) != own {
			t.Errorf("isOwn(%q) = %v", parent, !own)
		}
	}
}

func TestRelativeFollowsContainerPath(t *testing.T) {
	for _, c := range []struct {
		driver       Driver
		parent, want string
	}{
		{Cgroupfs, "/kubepods/podx", "/kubepods/podx/c1"},
		{Cgroupfs, "/", "/c1"},
		{Systemd, "kubepods-podx.slice", "/kubepods.slice/kubepods-podx.slice/berth-c1.scope"},
		{Systemd, "-.slice", "/berth-c1.scope"},
	} {
		if got := Relative(ContainerPath(c.driver, c.parent, "c1")); got != c.want {
			t.Errorf("%s %s: %s, want %s", c.driver, c.parent, got, c.want)
		}
	}
	if got := Relative("berth-podx.slice"); got != "/berth.slice/berth-podx.slice" {
		t.Errorf("pod slice: %s", got)
	}
}

func TestResolve(t *testing.T) {
	v1 := map[string]string{"cpu": "/cg/cpu,cpuacct", "cpuacct": "/cg/cpu,cpuacct"}
	for mode, want := range map[Mode]Paths{
		Unified: {"": "/cg/p/c"},
		Legacy:  {"cpu": "/cg/cpu,cpuacct/p/c", "cpuacct": "/cg/cpu,cpuacct/p/c"},
		Hybrid:  {"cpu": "/cg/cpu,cpuacct/p/c", "cpuacct": "/cg/cpu,cpuacct/p/c", "": "/cg/unified/p/c"},
	} {
		h := &Host{Root: "/cg", Mode: mode, Controllers: v1}
		if got := h.Resolve("/p/c"); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, want %v", mode, got, want)
		}
	}
	h := &Host{Root: "/cg", Mode: Legacy, Controllers: v1}
	if d := h.Resolve("/p").Dirs(); len(d) != 1 {
		t.Errorf("controllers of one hierarchy have one directory, got %v", d)
	}
}
