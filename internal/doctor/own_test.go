package doctor

import (
	"strings"
	"testing"

	"github.com/berth-run/berth/config"
)

func TestIsOwn(t *testing.T) {
	id := strings.Repeat("ab", 32)
	d := &Doctor{Paths: config.Paths{Root: "/r", State: "/s"}}
	for path, want := range map[string]bool{
		d.Paths.Pod(id): true, d.Paths.PodShm(id): true, d.Paths.ContainerVolumes(id): true, d.Paths.PublishedNetNS(id): true,
		"/s/containerd/io.containerd.runtime.v2.task/k8s.io/" + id + "/rootfs":  true,
		"/s/containerd/io.containerd.runtime.v2.task/default/" + id + "/rootfs": false,
		"/r/containerd/tmpmounts/" + id:                                         false,
		d.Paths.NetworkNamespaces() + "/cni-" + id:                              false,
		"/s/podsaside/" + id: false,
		"/s/pods":            false,
	} {
		if got := d.isOwn(path); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}

func TestOfNamespace(t *testing.T) {
	for line, want := range map[string]bool{
		"berth-shim -id x": true, "shim -namespace k8s.io -id x": true, "shim --namespace=k8s.io": true,
		"shim -namespace default -id x": false, "shim -namespace=buildkit": false, "shim -namespace": true,
	} {
		if got := ofNamespace(strings.Fields(line)); got != want {
			t.Errorf("%s: %v", line, got)
		}
	}
}

func TestRemovable(t *testing.T) {
	found := []Finding{{Name: "a"}, {Name: "b", LeftAlone: "it is another's"}}
	if got := Removable(found); len(got) != 1 || got[0].Name != "a" || len(found) != 2 {
		t.Errorf("got %v", got)
	}
	if err := (&Doctor{}).Fix(t.Context(), found[1]); err == nil {
		t.Error("what is left alone was removed")
	}
}
