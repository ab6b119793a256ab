package hostile

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
	"github.com/berth-run/berth/test/images"
)

// withVolumes pushes and pulls an image with a shell, content, and volumes.
func withVolumes(t *testing.T, d *daemon.Daemon, name string, files []images.File, volumes []string) {
	t.Helper()
	set, err := images.New()
	if err != nil {
		t.Fatal(err)
	}
	base, err := set.Busybox()
	if err != nil {
		t.Fatal(err)
	}
	layer, err := images.Layer(files)
	if err != nil {
		t.Fatal(err)
	}
	config := v1.Config{Cmd: []string{"sleep", "1000"}, Volumes: map[string]struct{}{}}
	for _, v := range volumes {
		config.Volumes[v] = struct{}{}
	}
	img, err := images.Build(images.Spec{Base: base, Layers: []v1.Layer{layer}, Config: config})
	if err != nil {
		t.Fatal(err)
	}
	if err := daemon.Registry(t).Push(name, img); err != nil {
		t.Fatal(err)
	}
	d.Pull(t, name)
	t.Cleanup(func() {
		if _, err := d.Image.RemoveImage(daemon.Context(t), &runtimeapi.RemoveImageRequest{Image: &runtimeapi.ImageSpec{Image: name}}); err != nil {
			t.Error(err)
		}
	})
}

// onDisk is how many bytes all below a directory take.
func onDisk(t *testing.T, dir string) (bytes int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil {
			bytes += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}

// TestVolumesDoNotMultiply: the volumes of a container take no more space than its image, however many lead to the
// same directory or lie below each other, and the container finds the content at all of their places.
func TestVolumesDoNotMultiply(t *testing.T) {
	d := target(t)
	const size = 4 << 20
	body := bytes.Repeat([]byte("berth"), size/5)
	links := []images.File{{Path: "data/seed", Body: body}}
	var linked []string
	nested := []images.File{{Path: "data/data/data/data/data/seed", Body: body}}
	places := []string{"/data", "/data/data", "/data/data/data", "/data/data/data/data", "/data/data/data/data/data"}
	for i := range 20 {
		links = append(links, images.File{Path: fmt.Sprintf("v%d", i), Type: tar.TypeSymlink, Link: "/data"})
		linked = append(linked, fmt.Sprintf("/v%d", i))
	}
	for name, c := range map[string]struct {
		files   []images.File
		volumes []string
		seed    string
	}{
		"links": {links, linked, "/v0/seed /v19/seed /data/seed"},
		"below": {nested, places, "/data/data/data/data/data/seed"},
	} {
		t.Run(name, func(t *testing.T) {
			image := "berth.test/volumes:" + name
			withVolumes(t, d, image, c.files, c.volumes)
			pod := d.RunPod(t)
			container := pod.RunWith(t, daemon.WithImage(image))
			if got := onDisk(t, filepath.Join(d.Configuration.Root, "containers", container.ID)); got > 2*size {
				t.Errorf("%d volumes of %d bytes take %d on the node", len(c.volumes), size, got)
			}
			container.Output(t, "for f in "+c.seed+"; do test -s $f && echo more >> $f || exit 1; done")
		})
	}
}

// TestVolumesOverlap: volumes that lead into each other by links have the content several times, as a file has whose
// hard links are in several volumes. A container whose volumes have too much of that is refused, and nothing of it stays.
func TestVolumesOverlap(t *testing.T) {
	d := target(t)
	body := make([]byte, 4<<20)
	chain := []images.File{{Path: strings.Repeat("d/", 20) + "file", Body: body}}
	hard := []images.File{{Path: "v0/file", Body: body}}
	var places []string
	for i := range 20 {
		v := fmt.Sprintf("v%d", i)
		places = append(places, "/"+v)
		chain = append(chain, images.File{Path: v, Type: tar.TypeSymlink, Link: strings.Repeat("/d", i+1)})
		if i > 0 {
			hard = append(hard, images.File{Path: v + "/file", Type: tar.TypeLink, Link: "v0/file"})
		}
	}
	for name, files := range map[string][]images.File{"links": chain, "hardlinks": hard} {
		t.Run(name, func(t *testing.T) {
			image := "berth.test/overlap:" + name
			withVolumes(t, d, image, files, places)
			pod := d.RunPod(t)
			_, err := d.Runtime.CreateContainer(daemon.Context(t), pod.CreateRequest(daemon.WithImage(image)))
			if status.Code(err) != codes.ResourceExhausted {
				t.Errorf("a container with 20 copies of a file: %v", err)
			}
			if left, _ := os.ReadDir(d.Configuration.Paths().ContainerData()); len(left) != 0 {
				t.Errorf("what was copied is left: %v", left)
			}
		})
	}
}
