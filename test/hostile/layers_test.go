package hostile

import (
	"archive/tar"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
	"github.com/berth-run/berth/test/images"
)

// TestLayerReachesForHost: an image in which a directory that a layer implies comes to lie behind a link to the
// host, or to the layers of other images, changes nothing there, by whatever way the link leads out.
func TestLayerReachesForHost(t *testing.T) {
	d := target(t)
	host := t.TempDir()
	if err := os.MkdirAll(filepath.Join(host, "sub", "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	before := lookOf(t, host)
	up := strings.Repeat("../", 30)
	for name, entries := range map[string][]images.File{
		"parent":      {{Path: "x/sub/f"}, {Path: "x", Type: tar.TypeSymlink, Link: host}},
		"relative":    {{Path: "x/sub/f"}, {Path: "x", Type: tar.TypeSymlink, Link: up + host[1:]}},
		"itself":      {{Path: "x/sub/f"}, {Path: "x/sub", Type: tar.TypeSymlink, Link: host + "/sub"}},
		"grandparent": {{Path: "x/sub/sub/f"}, {Path: "x", Type: tar.TypeSymlink, Link: host}},
	} {
		t.Run(name, func(t *testing.T) {
			below := []images.File{
				{Path: "x", Type: tar.TypeDir, Mode: 0o777, UID: 4242}, {Path: "x/sub", Type: tar.TypeDir, Mode: 0o777, UID: 4242},
				{Path: "x/sub/sub", Type: tar.TypeDir, Mode: 0o777, UID: 4242},
			}
			push(t, "berth.test/reach:"+name, v1.Config{Cmd: []string{"sh"}}, below, entries)
			pullAndRemove(t, d, "berth.test/reach:"+name)
			if now := lookOf(t, host); now != before {
				t.Errorf("the host's directory is\n%s\nit was\n%s", now, before)
			}
		})
	}
}

// TestDeepLayer: a layer of some hundred bytes, whose names are deeper than any image's, is refused at once.
func TestDeepLayer(t *testing.T) {
	d := target(t)
	const name = "berth.test/deep:1"
	push(t, name, v1.Config{Cmd: []string{"sh"}}, []images.File{{Path: "f"}}, []images.File{{Path: strings.Repeat("d/", 1500) + "f"}})
	_, err := d.Image.PullImage(daemon.Context(t), &runtimeapi.PullImageRequest{Image: &runtimeapi.ImageSpec{Image: name}})
	if err == nil || !strings.Contains(err.Error(), "components") {
		t.Errorf("got %v, want a refusal that says why", err)
	}
}

// push makes an image of layers and pushes it.
func push(t *testing.T, name string, config v1.Config, layers ...[]images.File) {
	t.Helper()
	var all []v1.Layer
	for _, files := range layers {
		layer, err := images.Layer(files)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, layer)
	}
	img, err := images.Build(images.Spec{Layers: all, Config: config})
	if err != nil {
		t.Fatal(err)
	}
	if err := daemon.Registry(t).Push(name, img); err != nil {
		t.Fatal(err)
	}
}

// pullAndRemove pulls an image, whatever comes of it, and removes it.
func pullAndRemove(t *testing.T, d *daemon.Daemon, name string) {
	t.Helper()
	spec := &runtimeapi.ImageSpec{Image: name}
	if _, err := d.Image.PullImage(daemon.Context(t), &runtimeapi.PullImageRequest{Image: spec}); err != nil {
		t.Logf("pulling %s: %v", name, err)
	}
	if _, err := d.Image.RemoveImage(daemon.Context(t), &runtimeapi.RemoveImageRequest{Image: spec}); err != nil {
		t.Error(err)
	}
}

// lookOf describes a directory and all below it: modes, owners, times of change.
func lookOf(t *testing.T, dir string) string {
	t.Helper()
	var out strings.Builder
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil {
			st := info.Sys().(*syscall.Stat_t)
			fmt.Fprintln(&out, path, info.Mode(), st.Uid, st.Gid, st.Ctim)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}
