package pb

import (
	"bytes"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/encoding/protowire"
)

// FuzzEach reads any bytes: what is no message is InvalidArgument, and what is taken of a message is part of it.
func FuzzEach(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(Any{URL: "u", Value: []byte("v")}.Append(nil))
	f.Add(Bytes(Bool(String(Uint(nil, 1, 300), 2, "x"), 3, true), 4, Uint(nil, 1, 1)))
	f.Add(protowire.AppendFixed64(protowire.AppendTag(nil, 5, protowire.Fixed64Type), 1))
	f.Add(protowire.AppendGroup(protowire.AppendTag(nil, 6, protowire.StartGroupType), 6, Uint(nil, 1, 1)))
	f.Add([]byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		size := 0
		err := Each(b, func(f Field) error {
			if f.Num < 1 {
				t.Errorf("field %d", f.Num)
			}
			if size += len(f.Bytes()); size > len(b) {
				t.Fatalf("%d bytes of values in %d", size, len(b))
			}
			return nil
		})
		if err != nil && !errdefs.IsInvalidArgument(err) {
			t.Error(err)
		}
		if !bytes.Equal(b, before) {
			t.Error("the message was changed")
		}
		a, err := ReadAny(b)
		if err != nil {
			return
		}
		again, err := ReadAny(a.Append(nil))
		if err != nil || again.URL != strings.ToValidUTF8(a.URL, "\uFFFD") || !bytes.Equal(again.Value, a.Value) {
			t.Errorf("%+v, then %+v, %v", a, again, err)
		}
	})
}
