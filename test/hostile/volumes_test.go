package hostile

import (
	"archive/tar"
	"fmt"
	"os"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/berth-run/berth/test/daemon"
	"github.com/berth-run/berth/test/images"
)

// TestVolumesMultiply: an image with one directory and many links to it, each declared as a volume, would have a copy of
// the directory for each in every container. Such a container is refused, and nothing of it stays.
func TestVolumesMultiply(t *testing.T) {
	d := target(t)
	const name = "berth.test/multiply:1"
	files := []images.File{{Path: "data/file", Body: make([]byte, 4<<20)}}
	volumes := map[string]struct{}{}
	for i := range 40 {
		link := fmt.Sprintf("l%d", i)
		files = append(files, images.File{Path: link, Type: tar.TypeSymlink, Link: "/data"})
		volumes["/"+link] = struct{}{}
	}
	push(t, name, v1.Config{Cmd: []string{"/data/file"}, Volumes: volumes}, files)
	d.Pull(t, name)
	pod := d.RunPod(t)
	_, err := d.Runtime.CreateContainer(daemon.Context(t), pod.CreateRequest(daemon.WithImage(name)))
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a container with 40 copies of a directory: %v", err)
	}
	if left, _ := os.ReadDir(d.Configuration.Paths().ContainerData()); len(left) != 0 {
		t.Errorf("what was copied is left: %v", left)
	}
}
