package cri

import (
	"strconv"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/imageservice"
	"github.com/berth-run/berth/internal/budget"
	"github.com/berth-run/berth/internal/index"
)

// podsOf are entries of n pods, each with a kubelet's label and an annotation of so many bytes.
func podsOf(t *testing.T, n, annotation int) []index.Entry {
	t.Helper()
	entries := make([]index.Entry, n)
	for i := range entries {
		var err error
		entries[i], err = index.Encode(0, &runtimeapi.PodSandbox{
			Id: strconv.Itoa(i), Labels: map[string]string{"io.kubernetes.pod.name": strconv.Itoa(i)},
			Annotations: map[string]string{"a": strings.Repeat("ä", annotation/2)},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return entries
}

// TestLongListFits: a list of pods with the longest annotations that Kubernetes admits arrives, with
// every pod and its kubelet's labels.
func TestLongListFits(t *testing.T) {
	entries := append(podsOf(t, 110, 256<<10), podsOf(t, 20, 1<<10)...)
	resp := &runtimeapi.ListPodSandboxResponse{}
	if err := fillUnary(resp, entries, "StreamPodSandboxes"); err != nil {
		t.Fatal(err)
	}
	got := received(t, resp)
	if len(got.GetItems()) != len(entries) {
		t.Fatalf("%d pods, want %d", len(got.GetItems()), len(entries))
	}
	for i, p := range got.GetItems() {
		note := p.GetAnnotations()["a"]
		switch {
		case p.GetLabels()["io.kubernetes.pod.name"] != p.GetId():
			t.Fatalf("pod %s has labels %v", p.GetId(), p.GetLabels())
		case i < 110 && (len(note) < 64<<10 || !strings.Contains(note, "cut off")):
			t.Fatalf("pod %s shows %d bytes of its annotation, ending in %.60q", p.GetId(), len(note), note[max(0, len(note)-60):])
		case i >= 110 && len(note) != 1<<10:
			t.Fatalf("a small pod shows %d bytes of its annotation", len(note))
		}
	}
}

// received is a response as the largest message that a client takes.
func received(t *testing.T, m proto.Message) *runtimeapi.ListPodSandboxResponse {
	t.Helper()
	raw, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if len(raw) > budget.Message {
		t.Fatalf("the answer has %d bytes", len(raw))
	}
	got := &runtimeapi.ListPodSandboxResponse{}
	if err := proto.Unmarshal(raw, got); err != nil {
		t.Fatal(err)
	}
	return got
}

// TestTooLongList: a list that cannot be made to fit says how it can be had.
func TestTooLongList(t *testing.T) {
	entry, err := index.Encode(0, &runtimeapi.PodSandbox{Id: strings.Repeat("x", 64<<10)})
	if err != nil {
		t.Fatal(err)
	}
	entries := make([]index.Entry, 300)
	for i := range entries {
		entries[i] = entry
	}
	err = fillUnary(&runtimeapi.ListPodSandboxResponse{}, entries, "StreamPodSandboxes")
	if !errdefs.IsResourceExhausted(err) || !strings.Contains(err.Error(), "StreamPodSandboxes") {
		t.Errorf("pods: %v", err)
	}
	images := &runtimeapi.ListImagesResponse{}
	for range 300 {
		images.Images = append(images.Images, &runtimeapi.Image{Id: strings.Repeat("x", 64<<10)})
	}
	if err := fitImages(images); !errdefs.IsResourceExhausted(err) || !strings.Contains(err.Error(), "StreamImages") {
		t.Errorf("images: %v", err)
	}
}

// TestChunksBySize: no message of a stream is larger than what any gRPC client takes, however
// large objects are, and small ones share a message.
func TestChunksBySize(t *testing.T) {
	for _, c := range []struct{ pods, annotation, messages int }{
		{0, 0, 0}, {1, 100, 1}, {5000, 100, 1}, {40, 400 << 10, 8}, {3, 6 << 20, 3},
	} {
		entries := podsOf(t, c.pods, c.annotation)
		messages, pods := 0, 0
		err := sendEntries(entries, func(m *runtimeapi.StreamPodSandboxesResponse) error {
			if size := proto.Size(m); size > budget.StreamMessage {
				t.Errorf("%d pods with %d bytes: a message of %d bytes", c.pods, c.annotation, size)
			}
			messages++
			pods += len(received(t, m).GetItems())
			return nil
		})
		if err != nil || pods != c.pods || messages != c.messages {
			t.Errorf("%d pods with %d bytes: %d pods in %d messages (want %d), %v", c.pods, c.annotation, pods, messages, c.messages, err)
		}
	}
}

// TestImageReports: what one image shows is bounded, and so is a list of many.
func TestImageReports(t *testing.T) {
	img := &imageservice.Image{ID: "sha256:1", Annotations: map[string]string{"a": strings.Repeat("x", 4<<20)}}
	if size := proto.Size(reported(img)); size > budget.ReportedMetadata+1024 {
		t.Errorf("one image takes %d bytes", size)
	}
	if len(img.Annotations["a"]) != 4<<20 {
		t.Error("the image itself was changed")
	}
	list := &runtimeapi.ListImagesResponse{}
	for range 60 {
		list.Images = append(list.Images, reported(img))
	}
	if err := fitImages(list); err != nil || proto.Size(list) > budget.Message {
		t.Errorf("60 images take %d bytes: %v", proto.Size(list), err)
	}
}
