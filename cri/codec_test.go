package cri

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/internal/index"
)

// TestCodec: messages of all sizes, and lists of what is encoded already, arrive as they are.
func TestCodec(t *testing.T) {
	c := newCodec()
	var cached index.Cached
	entry, err := cached.Entry(1, func() proto.Message { return &runtimeapi.Container{Id: "a"} })
	if err != nil {
		t.Fatal(err)
	}
	filled := &runtimeapi.ListContainersResponse{}
	fillList(filled, []index.Entry{entry, entry})
	two := &runtimeapi.ListContainersResponse{Containers: []*runtimeapi.Container{{Id: "a"}, {Id: "a"}}}
	named := func(length int) proto.Message {
		return &runtimeapi.VersionResponse{RuntimeName: strings.Repeat("n", length)}
	}
	for name, m := range map[string]struct{ sent, want proto.Message }{
		"empty": {&runtimeapi.VersionResponse{}, &runtimeapi.VersionResponse{}},
		"short": {named(10), named(10)}, "pooled": {named(40 << 10), named(40 << 10)}, "again": {named(33 << 10), named(33 << 10)},
		"larger than any buffer": {named(5 << 20), named(5 << 20)},
		"filled":                 {filled, two},
	} {
		data, err := c.Marshal(m.sent)
		if err != nil {
			t.Fatal(err)
		}
		got := m.want.ProtoReflect().New().Interface()
		if err := c.Unmarshal(data, got); err != nil || !proto.Equal(got, m.want) {
			t.Errorf("%s: %v", name, err)
		}
		data.Free()
	}
	filled = &runtimeapi.ListContainersResponse{}
	fillList(filled, []index.Entry{entry, entry})
	if data, err := c.Marshal(filled); err != nil || &data[0].ReadOnlyData()[0] != &filled.ProtoReflect().GetUnknown()[0] {
		t.Errorf("a list that is encoded is copied, %v", err)
	}
	if _, err := c.Marshal("no message"); err == nil {
		t.Error("what is not a message is encoded")
	}
}
