package report

import (
	"maps"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/internal/budget"
)

func TestLevel(t *testing.T) {
	for _, c := range []struct {
		lengths    []int
		room, want int
	}{
		{nil, 10, 0},
		{[]int{3, 4}, 10, 4},
		{[]int{3, 4, 100}, 10, 3},
		{[]int{1, 100, 100}, 21, 10},
		{[]int{5, 5}, 0, 0},
		{[]int{5, 5}, -7, 0},
	} {
		if got := Level(c.lengths, c.room); got != c.want {
			t.Errorf("%v in %d: %d, want %d", c.lengths, c.room, got, c.want)
		}
	}
}

// TestMetadata: what Kubernetes admits is shown whole; what is longer is cut off, in place
// of the long values alone, and the original is kept.
func TestMetadata(t *testing.T) {
	labels := map[string]string{"app": "web", "io.kubernetes.pod.uid": "1"}
	annotations := map[string]string{"small": "x", "large": strings.Repeat("y", 250<<10)}
	if l, a := Metadata(labels, annotations); !maps.Equal(l, labels) || !maps.Equal(a, annotations) {
		t.Error("metadata of a size that Kubernetes admits was cut off")
	}
	annotations["huge"] = strings.Repeat("ü", 4<<20)
	before := maps.Clone(annotations)
	l, a := Metadata(labels, annotations)
	switch {
	case !maps.Equal(annotations, before):
		t.Error("the original was changed")
	case !maps.Equal(l, labels), a["small"] != "x", a["large"] != annotations["large"]:
		t.Error("more than the longest value was cut off")
	case !strings.Contains(a["huge"], "8388608 bytes in all"), !utf8.ValidString(a["huge"]):
		t.Errorf("the longest value ends in %q", a["huge"][max(0, len(a["huge"])-60):])
	case sizeOf(&l, &a) > budget.ReportedMetadata:
		t.Errorf("%d bytes are left", sizeOf(&l, &a))
	}
}

// TestManyKeys: where keys alone are too much, the kubelet's own stay.
func TestManyKeys(t *testing.T) {
	labels := map[string]string{"io.kubernetes.pod.name": "web"}
	for i := range 100_000 {
		labels["a"+strconv.Itoa(i)] = "1"
	}
	l, _ := Metadata(labels, nil)
	if l["io.kubernetes.pod.name"] != "web" || len(l) < 1000 || sizeOf(&l) > budget.ReportedMetadata {
		t.Errorf("%d labels of %d bytes are left, the kubelet's is %q", len(l), sizeOf(&l), l["io.kubernetes.pod.name"])
	}
}

// TestFit: every kind of message is made to fit, and what it shares with others is not changed.
func TestFit(t *testing.T) {
	const room = 64 << 10
	long := map[string]string{"a": strings.Repeat("x", 256<<10)}
	image := &runtimeapi.ImageSpec{Image: "busybox", Annotations: long}
	status := func() *runtimeapi.ContainerStatus {
		return &runtimeapi.ContainerStatus{Id: "c", Image: image, Labels: long, Annotations: long,
			Mounts: []*runtimeapi.Mount{{HostPath: strings.Repeat("m", 40<<10)}}}
	}
	pod := func() *runtimeapi.PodSandboxStatus { return &runtimeapi.PodSandboxStatus{Id: "p", Annotations: long} }
	stats := func() *runtimeapi.ContainerStats {
		return &runtimeapi.ContainerStats{Attributes: &runtimeapi.ContainerAttributes{Annotations: long}}
	}
	for _, m := range []proto.Message{
		&runtimeapi.PodSandbox{Labels: long, Annotations: long},
		&runtimeapi.Container{Labels: long, Annotations: long, Image: image},
		stats(),
		&runtimeapi.PodSandboxStats{
			Attributes: &runtimeapi.PodSandboxAttributes{Annotations: long},
			Linux:      &runtimeapi.LinuxPodSandboxStats{Containers: []*runtimeapi.ContainerStats{stats(), stats()}},
		},
		&runtimeapi.Image{Spec: image, RepoTags: strings.Split(strings.Repeat("docker.io/library/busybox:1 ", 9000), " ")},
		&runtimeapi.ContainerEventResponse{PodSandboxStatus: pod(), ContainersStatuses: []*runtimeapi.ContainerStatus{status(), status()}},
		&runtimeapi.PodSandboxStatusResponse{Status: pod(), ContainersStatuses: []*runtimeapi.ContainerStatus{status(), status()}},
	} {
		if size := Fit(m, room); size > room || size != proto.Size(m) {
			t.Errorf("%T takes %d bytes, Fit says %d", m, proto.Size(m), size)
		}
	}
	if len(image.Annotations["a"]) != 256<<10 {
		t.Error("the shared image specification was changed")
	}
	small := &runtimeapi.PodSandbox{Annotations: map[string]string{"a": "b"}}
	if Fit(small, room); small.Annotations["a"] != "b" {
		t.Error("a message that fits was changed")
	}
}
