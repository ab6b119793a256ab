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

// buffers hold encoded answers. A buffer is used again once its answer is sent: the kubelet asks for lists every
// second, and without the pool these answers would be most of the daemon's garbage.
var buffers = newBuffers()

func newBuffers() mem.BufferPool {
	var sizes []int
	for size := 2 << 10; size <= 1<<21; size <<= 1 {
		sizes = append(sizes, size)
	}
	return mem.NewTieredBufferPool(sizes...)
}

// isEncoded reports whether m is an answer that fillList or execAnswer built. The unknown fields of such an answer
// are bytes in one of the buffers, already encoded. Nothing else in the daemon makes answers of these types.
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

// fillList puts entries into a response whose elements are in index.ListField. The entries are encoded already: their
// bytes become unknown fields of the response, and the response's own fields stay empty. gRPC sends unknown fields as
// they are. The bytes lie in one of the buffers, which is used again once the answer is sent: nobody may keep them.
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
	response.ProtoReflect().SetUnknown(wire)
}

// fillUnary is fillList for an answer that cannot be sent in parts. Where the list is larger than a message may be,
// the metadata of the largest objects is cut off. A list that is too large even then is
// errdefs.ErrResourceExhausted, and the error names the RPC that sends the list in parts.
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

// shortened cuts off metadata of each entry that is larger than level bytes, as far as that goes, and returns the
// entries and their total size in bytes. The entries are elements of response's list.
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

// cutEntry cuts metadata off an entry, so that the entry has at most size bytes if that can be done.
func cutEntry(e index.Entry, into proto.Message, size int) (index.Entry, error) {
	if err := e.Decode(into); err != nil {
		return e, err
	}
	report.Fit(into, size-index.Overhead)
	return index.Encode(e.State, into)
}

// sendChunks sends items in messages of at most budget.StreamMessage bytes. An item that is larger gets a message of
// its own. An empty list sends no message.
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
