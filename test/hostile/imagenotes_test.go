package hostile

import (
	"fmt"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
	"github.com/berth-run/berth/test/images"
)

// TestImagesWithMuchMetadata: five images whose manifests have annotations of nearly the 4 MiB that a manifest may
// have do not keep the kubelet from listing images, which is how it makes room for others.
func TestImagesWithMuchMetadata(t *testing.T) {
	const many = 5
	d := target(t)
	set, err := images.New()
	if err != nil {
		t.Fatal(err)
	}
	for n := range many {
		img, err := set.Sized(uint64(4200+n), 1, 16)
		if err != nil {
			t.Fatal(err)
		}
		notes := map[string]string{"long": strings.Repeat("x", 4_000_000), "short": "kept"}
		name := fmt.Sprintf("berth.test/notes:%d", n)
		if err := daemon.Registry(t).Push(name, mutate.Annotations(img, notes).(v1.Image)); err != nil {
			t.Fatal(err)
		}
		d.Pull(t, name)
		t.Cleanup(func() {
			if _, err := d.Image.RemoveImage(daemon.Context(t), &runtimeapi.RemoveImageRequest{Image: &runtimeapi.ImageSpec{Image: name}}); err != nil {
				t.Error(err)
			}
		})
	}
	list, err := d.Image.ListImages(daemon.Context(t), &runtimeapi.ListImagesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, img := range list.GetImages() {
		notes := img.GetSpec().GetAnnotations()
		if len(notes) == 0 {
			continue
		}
		found++
		if notes["short"] != "kept" || !strings.Contains(notes["long"], "cut off") || len(notes["long"]) > 512<<10 {
			t.Errorf("%v shows %d bytes of its long annotation, and %q", img.GetRepoTags(), len(notes["long"]), notes["short"])
		}
	}
	if found != many {
		t.Errorf("%d images with annotations are listed, want %d", found, many)
	}
	streamImages(t, d, many)
}

// streamImages lists in parts with the limits that gRPC has of itself.
func streamImages(t *testing.T, d *daemon.Daemon, least int) {
	t.Helper()
	conn, err := grpc.NewClient("unix://"+d.Socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	all, err := runtimeapi.NewImageServiceClient(conn).StreamImages(daemon.Context(t), &runtimeapi.StreamImagesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if n := count(t, func() (int, error) { m, err := all.Recv(); return len(m.GetImages()), err }); n < least {
		t.Errorf("%d images came in parts, want %d at least", n, least)
	}
}
