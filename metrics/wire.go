package metrics

import (
	"encoding/binary"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// The following append a protobuf field with a number below 16, whose tag is one byte. protowire's own take twice
// the time, and the metrics of a full node have some half a million fields.

func tag(field protowire.Number, typ protowire.Type) byte { return byte(field)<<3 | byte(typ) }

func appendString(b []byte, field protowire.Number, v string) []byte {
	return append(binary.AppendUvarint(append(b, tag(field, protowire.BytesType)), uint64(len(v))), v...)
}

func appendBytes(b []byte, field protowire.Number, v []byte) []byte {
	return append(binary.AppendUvarint(append(b, tag(field, protowire.BytesType)), uint64(len(v))), v...)
}

func appendUint(b []byte, field protowire.Number, v uint64) []byte {
	return binary.AppendUvarint(append(b, tag(field, protowire.VarintType)), v)
}

func appendDouble(b []byte, field protowire.Number, v float64) []byte {
	return protowire.AppendFixed64(append(b, tag(field, protowire.Fixed64Type)), math.Float64bits(v))
}

// appendNumber appends a message with a number in its first field: CRI's UInt64Value, where none
// and 0 are not the same.
func appendNumber(b []byte, field protowire.Number, v uint64) []byte {
	b = append(b, tag(field, protowire.BytesType))
	if v == 0 {
		return append(b, 0)
	}
	return appendUint(append(b, byte(1+protowire.SizeVarint(v))), 1, v)
}

// appendMap appends an entry for each key.
func appendMap(b []byte, field protowire.Number, m map[string]string) []byte {
	for k, v := range m {
		b = appendMessage(b, field, func(b []byte) []byte { return appendString(appendString(b, 1, k), 2, v) })
	}
	return b
}

// appendMessage appends what a function appends as a message. Its length comes first, and is known last:
// most messages are short, and the others are moved along.
func appendMessage(b []byte, field protowire.Number, content func([]byte) []byte) []byte {
	b = append(b, tag(field, protowire.BytesType), 0)
	begin := len(b)
	b = content(b)
	size := len(b) - begin
	if more := protowire.SizeVarint(uint64(size)) - 1; more > 0 {
		b = append(b, make([]byte, more)...)
		copy(b[begin+more:], b[begin:begin+size])
	}
	protowire.AppendVarint(b[:begin-1], uint64(size))
	return b
}
