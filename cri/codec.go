package cri

import (
	"google.golang.org/grpc/encoding"
	protocodec "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// codec is gRPC's protobuf codec, with buffers that fit. gRPC takes one of 1 MiB for any message
// of more than 32 KiB, clears all of it, and keeps it: for a list of a hundred pods, of 60 KiB,
// that is more work than the list is. A message is encoded once.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2(protocodec.Name)} }

// Marshal implements encoding.CodecV2.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	m, ok := v.(proto.Message)
	if !ok {
		return c.CodecV2.Marshal(v)
	}
	size := proto.Size(m)
	// What fillList or execAnswer encoded is sent as it is.
	if wire := []byte(m.ProtoReflect().GetUnknown()); size > 0 && len(wire) == size && isEncoded(m) {
		return mem.BufferSlice{mem.NewBuffer(&wire, buffers)}, nil
	}
	if mem.IsBelowBufferPoolingThreshold(size) {
		return c.CodecV2.Marshal(v)
	}
	buf := buffers.Get(size)
	if _, err := (proto.MarshalOptions{UseCachedSize: true}).MarshalAppend((*buf)[:0], m); err != nil {
		buffers.Put(buf)
		return nil, err
	}
	return mem.BufferSlice{mem.NewBuffer(buf, buffers)}, nil
}
