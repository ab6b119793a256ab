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
