package cri

import (
	"fmt"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/internal/budget"
	"github.com/berth-run/berth/internal/index"
	"github.com/berth-run/berth/internal/report"
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

// isEncoded knows the answers that fillList and execAnswer are for, and nothing else makes: what they have that is
// not known to them is in one of the buffers.
func isEncoded(m proto.Message) bool {
	switch m.(type) {
	case *runtimeapi.ListPodSandboxResponse, *runtimeapi.StreamPodSandboxesResponse,
		*runtimeapi.ListContainersResponse, *runtimeapi.StreamContainersResponse,
		*runtimeapi.ListPodSandboxStatsResponse, *runtimeapi.StreamPodSandboxStatsResponse,
		*runtimeapi.ListContainerStatsResponse, *runtimeapi.StreamContainerStatsResponse,
		*runtimeapi.ExecSyncResponse:
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

// fillUnary is fillList for an answer that cannot be sent in parts. Where the list is longer than
// a message may be, the metadata of the largest objects is cut off. A list that is too long even so
// is ResourceExhausted, and the error names the RPC that sends it in parts.
func fillUnary(response proto.Message, entries []index.Entry, streaming string) error {
	total := 0
	for _, e := range entries {
		total += len(e.Wire)
	}
	if total > budget.Message {
		lengths := make([]int, len(entries))
		for i, e := range entries {
			lengths[i] = len(e.Wire)
		}
		var err error
		if entries, total, err = shortened(response, entries, report.Level(lengths, budget.Message)); err != nil {
			return err
		}
	}
	if total > budget.Message {
		return tooLong(len(entries), total, streaming)
	}
	fillList(response, entries)
	return nil
}

// tooLong is the error of a list that fits into no message.
func tooLong(items, size int, streaming string) error {
	return fmt.Errorf("the list has %d items and %d bytes, and a message may have %d: ask with %s, which sends it in parts, or with a filter: %w",
		items, size, budget.Message, streaming, errdefs.ErrResourceExhausted)
}

// fillChunk is fillList for one message of a Stream* RPC.
func fillChunk(response proto.Message, entries []index.Entry) error {
	// sendChunks gives an entry that is too large a message of its own.
	if len(entries) == 1 && len(entries[0].Wire) > budget.StreamMessage {
		var err error
		if entries, _, err = shortened(response, entries, budget.StreamMessage); err != nil {
			return err
		}
	}
	fillList(response, entries)
	return nil
}

// shortened are the entries with no more than level bytes each, as far as cutting off metadata
// achieves it, and their size together. response tells of what kind they are.
func shortened(response proto.Message, entries []index.Entry, level int) (_ []index.Entry, total int, err error) {
	field := response.ProtoReflect().Descriptor().Fields().ByNumber(index.ListField)
	out := make([]index.Entry, len(entries))
	for i, e := range entries {
		if len(e.Wire) > level {
			element := response.ProtoReflect().NewField(field).List().NewElement().Message().Interface()
			if e, err = cutEntry(e, element, level); err != nil {
				return nil, 0, err
			}
		}
		out[i] = e
		total += len(e.Wire)
	}
	return out, total, nil
}

// cutEntry makes an entry of at most size bytes of a larger one, if it can.
func cutEntry(e index.Entry, into proto.Message, size int) (index.Entry, error) {
	if err := e.Decode(into); err != nil {
		return e, err
	}
	report.Fit(into, size-index.Overhead)
	return index.Encode(e.State, into)
}

// sendChunks sends items, of a size each, in messages of at most budget.StreamMessage bytes, none
// for an empty list. An item that is larger has a message of its own.
func sendChunks[T, M any](items []T, size func(T) int, wrap func([]T) (*M, error), send func(*M) error) error {
	for len(items) > 0 {
		n, total := 0, 0
		for n < len(items) {
			if total += size(items[n]); total > budget.StreamMessage && n > 0 {
				break
			}
			n++
		}
		m, err := wrap(items[:n])
		if err != nil {
			return err
		}
		if err := send(m); err != nil {
			return err
		}
		items = items[n:]
	}
	return nil
}

// sendEntries sends a list that fillList encodes.
func sendEntries[M any, P interface {
	*M
	proto.Message
}](entries []index.Entry, send func(*M) error) error {
	return sendChunks(entries, func(e index.Entry) int { return len(e.Wire) }, func(some []index.Entry) (*M, error) {
		m := new(M)
		return m, fillChunk(P(m), some)
	}, send)
}
