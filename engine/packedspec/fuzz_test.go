package packedspec

import (
	"bytes"
	"testing"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/types/known/anypb"
)

// FuzzUnpack unpacks what a damaged database may hold: it is data loss, or at most maxSpec bytes.
func FuzzUnpack(f *testing.F) {
	for _, text := range []string{"", "{}", `{"ociVersion":"1.2.0","process":{"args":["a"]}}`} {
		packed, err := Pack(&anypb.Any{TypeUrl: jsonType, Value: []byte(text)})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packed.GetValue())
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		spec, err := Unpack(&anypb.Any{TypeUrl: packedType, Value: value})
		if err != nil {
			if !errdefs.IsDataLoss(err) {
				t.Errorf("%v", err)
			}
			return
		}
		if len(spec.GetValue()) > maxSpec {
			t.Errorf("%d bytes", len(spec.GetValue()))
		}
	})
}

// FuzzPack packs anything, and has it again.
func FuzzPack(f *testing.F) {
	f.Add([]byte(`{"ociVersion":"1.2.0"}`))
	f.Add(dictionary)
	f.Fuzz(func(t *testing.T, text []byte) {
		packed, err := Pack(&anypb.Any{TypeUrl: jsonType, Value: text})
		if err != nil {
			t.Fatal(err)
		}
		again, err := Unpack(packed)
		if err != nil || !bytes.Equal(again.GetValue(), text) {
			t.Errorf("%q comes back as %q, %v", text, again.GetValue(), err)
		}
	})
}
