package index

import (
	"testing"

	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func podEntry(t *testing.T, c *Cached, id string, state runtimeapi.PodSandboxState) Entry {
	t.Helper()
	e, err := c.Entry(int32(state), func() proto.Message {
		return &runtimeapi.PodSandbox{Id: id, State: state, Labels: map[string]string{"app": id}}
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestFillList: a client decodes what was encoded element by element as the list it is.
func TestFillList(t *testing.T) {
	var entries []Entry
	for _, id := range []string{"a", "b"} {
		entries = append(entries, podEntry(t, &Cached{}, id, runtimeapi.PodSandboxState_SANDBOX_NOTREADY))
	}
	for _, m := range []proto.Message{&runtimeapi.ListPodSandboxResponse{}, &runtimeapi.StreamPodSandboxesResponse{}} {
		FillList(m, entries)
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

// TestFieldNumbers: every response that FillList is used for has its elements in that field.
func TestFieldNumbers(t *testing.T) {
	for _, m := range []proto.Message{
		&runtimeapi.ListPodSandboxResponse{}, &runtimeapi.StreamPodSandboxesResponse{},
		&runtimeapi.ListContainersResponse{}, &runtimeapi.StreamContainersResponse{},
		&runtimeapi.ListContainerStatsResponse{}, &runtimeapi.StreamContainerStatsResponse{},
		&runtimeapi.ListPodSandboxStatsResponse{}, &runtimeapi.StreamPodSandboxStatsResponse{},
	} {
		f := m.ProtoReflect().Descriptor().Fields()
		if f.Len() != 1 || f.Get(0).Number() != ListField || !f.Get(0).IsList() {
			t.Errorf("%T is no list in field %d", m, ListField)
		}
	}
}

// TestCached: an entry is made once for each state.
func TestCached(t *testing.T) {
	var c Cached
	ready := podEntry(t, &c, "a", runtimeapi.PodSandboxState_SANDBOX_READY)
	again := podEntry(t, &c, "other", runtimeapi.PodSandboxState_SANDBOX_READY)
	if &ready.Wire[0] != &again.Wire[0] {
		t.Error("made again in the same state")
	}
	ended := podEntry(t, &c, "a", runtimeapi.PodSandboxState_SANDBOX_NOTREADY)
	if string(ended.Wire) == string(ready.Wire) {
		t.Error("not made again in another state")
	}
}
