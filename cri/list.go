package cri

import (
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

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
