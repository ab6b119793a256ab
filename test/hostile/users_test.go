package hostile

import (
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
	"github.com/berth-run/berth/test/images"
)

// TestManyGroupLines: an image whose /etc/group has as many lines as fit, all of which name the user and GID 0, costs a
// container's creation no more than reading the file.
func TestManyGroupLines(t *testing.T) {
	d := target(t)
	const name = "berth.test/groups:1"
	push(t, name, v1.Config{Cmd: []string{"/nothing"}, User: "app"}, []images.File{
		{Path: "etc/passwd", Body: []byte("app:x:1000:1000:::\n")},
		{Path: "etc/group", Body: []byte(strings.Repeat("g:x:0:app\n", 1_600_000) + "last:x:77:app\n")},
	})
	d.Pull(t, name)
	t.Cleanup(func() {
		if _, err := d.Image.RemoveImage(daemon.Context(t), &runtimeapi.RemoveImageRequest{Image: &runtimeapi.ImageSpec{Image: name}}); err != nil {
			t.Error(err)
		}
	})
	pod := d.RunPod(t)
	for range 4 {
		pod.Create(t, func(c *runtimeapi.ContainerConfig) { c.Image.Image = name; c.Command = nil })
	}
}
