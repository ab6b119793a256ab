package integration

import (
	"encoding/json"
	"testing"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
	"github.com/berth-run/berth/test/images"
)

// TestImageNameOfContainers creates containers as the kubelet does: by the image's ID, with the
// reference of the pod's spec beside it. What is shown is a reference that a person knows.
func TestImageNameOfContainers(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		id := d.Pull(t, images.Busybox)
		status, err := d.Image.ImageStatus(daemon.Context(t), &runtimeapi.ImageStatusRequest{Image: &runtimeapi.ImageSpec{Image: id}})
		if err != nil || len(status.GetImage().GetRepoDigests()) == 0 {
			t.Fatalf("%v, %v", status, err)
		}
		digest := status.GetImage().GetRepoDigests()[0]
		pod := d.RunPod(t)
		events := listen(t, d)
		subscribed(t, d, events)
		for name, asked := range map[string]*runtimeapi.ImageSpec{
			"ID and tag":    {Image: id, UserSpecifiedImage: images.Busybox},
			"ID alone":      {Image: id},
			"ID and digest": {Image: id, UserSpecifiedImage: digest},
			"tag":           {Image: images.Busybox},
		} {
			c := pod.RunWith(t, func(c *runtimeapi.ContainerConfig) { c.Image = asked })
			check := func(where string, got *runtimeapi.ImageSpec) {
				t.Helper()
				if got.GetImage() != images.Busybox || got.GetUserSpecifiedImage() != asked.GetUserSpecifiedImage() {
					t.Errorf("%s, %s: %v", name, where, got)
				}
			}
			got, err := d.Runtime.ContainerStatus(daemon.Context(t), &runtimeapi.ContainerStatusRequest{ContainerId: c.ID, Verbose: true})
			if err != nil {
				t.Fatal(err)
			}
			check("status", got.GetStatus().GetImage())
			if got.GetStatus().GetImageId() != id || got.GetStatus().GetImageRef() != digest {
				t.Errorf("%s: ID %s, reference %s", name, got.GetStatus().GetImageId(), got.GetStatus().GetImageRef())
			}
			var info struct{ Image string }
			if raw := got.GetInfo()["info"]; raw != "" {
				err = json.Unmarshal([]byte(raw), &info)
			} else {
				err = json.Unmarshal([]byte(got.GetInfo()["image"]), &info.Image)
			}
			if err != nil || info.Image != images.Busybox {
				t.Errorf("%s, verbose: %q, %v", name, info.Image, err)
			}
			list, err := d.Runtime.ListContainers(daemon.Context(t), &runtimeapi.ListContainersRequest{Filter: &runtimeapi.ContainerFilter{Id: c.ID}})
			if err != nil || len(list.GetContainers()) != 1 {
				t.Fatalf("%v, %v", list, err)
			}
			check("list", list.GetContainers()[0].GetImage())
			check("event", statusIn(t, events, c.ID).GetImage())
		}
	})
}

// statusIn waits for an event that tells of a container, and returns its status.
func statusIn(t *testing.T, events <-chan *runtimeapi.ContainerEventResponse, id string) *runtimeapi.ContainerStatus {
	t.Helper()
	for {
		select {
		case e := <-events:
			for _, s := range e.GetContainersStatuses() {
				if s.GetId() == id {
					return s
				}
			}
		case <-t.Context().Done():
			t.Fatalf("no event tells of %s", id)
		}
	}
}
