package cri

import (
	"google.golang.org/grpc/encoding"
	protocodec "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// codec is gRPC's protobuf codec with smaller buffers. For every message of more than 32 KiB, gRPC takes a buffer of
// 1 MiB, clears all of it, and keeps it. A list of a hundred pods has 60 KiB: clearing the buffer costs more than
// making the list.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2(protocodec.Name)} }

// Marshal implements encoding.CodecV2.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	m, ok := v.(proto.Message)
	if !ok {
		return c.CodecV2.Marshal(v)
	}
	size := proto.Size(m)
	// The bytes that fillList or execAnswer encoded are sent as they are.
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
