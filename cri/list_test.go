package cri

import (
	"testing"

	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/index"
)

// TestFillList: a client decodes what was encoded element by element as the list it is.
func TestFillList(t *testing.T) {
	var entries []index.Entry
	for _, id := range []string{"a", "b"} {
		entry, err := new(index.Cached).Entry(int32(runtimeapi.PodSandboxState_SANDBOX_NOTREADY), func() proto.Message {
			return &runtimeapi.PodSandbox{Id: id, State: runtimeapi.PodSandboxState_SANDBOX_NOTREADY, Labels: map[string]string{"app": id}}
		})
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, entry)
	}
	empty := &runtimeapi.ListPodSandboxResponse{}
	if fillList(empty, nil); proto.Size(empty) != 0 {
		t.Errorf("of nothing: %v", empty)
	}
	for _, m := range []proto.Message{&runtimeapi.ListPodSandboxResponse{}, &runtimeapi.StreamPodSandboxesResponse{}} {
		fillList(m, entries)
		raw, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		var got runtimeapi.ListPodSandboxResponse
		if err := proto.Unmarshal(raw, &got); err != nil {
			t.Fatal(err)
		}
		if len(got.GetItems()) != 2 || got.GetItems()[1].GetLabels()["app"] != "b" ||
			got.GetItems()[0].GetState() != runtimeapi.PodSandboxState_SANDBOX_NOTREADY {
			t.Errorf("%T became %v", m, &got)
		}
	}
}

// TestFieldNumbers: every response that fillList is used for has its elements in that field.
func TestFieldNumbers(t *testing.T) {
	for _, m := range []proto.Message{
		&runtimeapi.ListPodSandboxResponse{}, &runtimeapi.StreamPodSandboxesResponse{},
		&runtimeapi.ListContainersResponse{}, &runtimeapi.StreamContainersResponse{},
		&runtimeapi.ListContainerStatsResponse{}, &runtimeapi.StreamContainerStatsResponse{},
		&runtimeapi.ListPodSandboxStatsResponse{}, &runtimeapi.StreamPodSandboxStatsResponse{},
	} {
		f := m.ProtoReflect().Descriptor().Fields()
		if f.Len() != 1 || f.Get(0).Number() != index.ListField || !f.Get(0).IsList() {
			t.Errorf("%T is no list in field %d", m, index.ListField)
		}
	}
}
