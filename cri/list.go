package cri

import (
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/index"
)

// buffers are those of answers, used again once they are sent: lists are asked for every second,
// and are most of what the daemon would leave behind as garbage.
var buffers = newBuffers()

func newBuffers() mem.BufferPool {
	var sizes []int
	for size := 2 << 10; size <= 1<<21; size <<= 1 {
		sizes = append(sizes, size)
	}
	return mem.NewTieredBufferPool(sizes...)
}

// isList knows the answers that fillList is for, and nothing else makes: what they have that is not known to them
// is in one of the buffers.
func isList(m proto.Message) bool {
	switch m.(type) {
	case *runtimeapi.ListPodSandboxResponse, *runtimeapi.StreamPodSandboxesResponse,
		*runtimeapi.ListContainersResponse, *runtimeapi.StreamContainersResponse,
		*runtimeapi.ListPodSandboxStatsResponse, *runtimeapi.StreamPodSandboxStatsResponse,
		*runtimeapi.ListContainerStatsResponse, *runtimeapi.StreamContainerStatsResponse:
		return true
	}
	return false
}

// fillList puts entries into a response whose elements are in index.ListField. It encodes to
// them, although the message's own fields stay empty. The bytes are sent as they are after the
// handler has returned, and are then used for another answer: nobody is to keep them.
func fillList(response proto.Message, entries []index.Entry) {
	size := 0
	for _, e := range entries {
		size += len(e.Wire)
	}
	if size == 0 {
		return
	}
	wire := (*buffers.Get(size))[:0]
	for _, e := range entries {
		wire = append(wire, e.Wire...)
	}
	// What a message does not know is encoded as it is.
	response.ProtoReflect().SetUnknown(wire)
}
