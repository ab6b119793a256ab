package metrics

import (
	"encoding/binary"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// The following append a protobuf field with a number below 16.

func appendString(b []byte, field int, v string) []byte {
	return append(binary.AppendUvarint(append(b, byte(field<<3|2)), uint64(len(v))), v...)
}

func appendBytes(b []byte, field int, v []byte) []byte {
	return append(binary.AppendUvarint(append(b, byte(field<<3|2)), uint64(len(v))), v...)
}

func appendUint(b []byte, field int, v uint64) []byte {
	return binary.AppendUvarint(append(b, byte(field<<3)), v)
}

func appendDouble(b []byte, field int, v float64) []byte {
	return binary.LittleEndian.AppendUint64(append(b, byte(field<<3|1)), math.Float64bits(v))
}

// appendNumber appends a message with a number in its first field: CRI's UInt64Value, where none
// and 0 are not the same.
func appendNumber(b []byte, field int, v uint64) []byte {
	b = append(b, byte(field<<3|2))
	if v == 0 {
		return append(b, 0)
	}
	return appendUint(append(b, byte(1+protowire.SizeVarint(v))), 1, v)
}

// appendMap appends an entry for each key.
func appendMap(b []byte, field int, m map[string]string) []byte {
	for k, v := range m {
		b = appendMessage(b, field, func(b []byte) []byte { return appendString(appendString(b, 1, k), 2, v) })
	}
	return b
}

// appendMessage appends what a function appends as a message. Its length comes first, and is known last:
// most messages are short, and the others are moved along.
func appendMessage(b []byte, field int, content func([]byte) []byte) []byte {
	b = append(b, byte(field<<3|2), 0)
	begin := len(b)
	b = content(b)
	size := len(b) - begin
	more := protowire.SizeVarint(uint64(size)) - 1
	if more > 0 {
		b = append(b, make([]byte, more)...)
		copy(b[begin+more:], b[begin:begin+size])
	}
	binary.PutUvarint(b[begin-1:], uint64(size))
	return b
}
