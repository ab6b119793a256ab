package container

import (
	"encoding/json"
	"testing"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func sample(t testing.TB, change func(*Record)) []byte {
	t.Helper()
	config, err := proto.Marshal(&runtimeapi.ContainerConfig{Metadata: &runtimeapi.ContainerMetadata{Name: "n"}})
	if err != nil {
		t.Fatal(err)
	}
	r := Record{Version: RecordVersion, Config: config, Phase: Created}
	change(&r)
	raw, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestParseRecord(t *testing.T) {
	if r, c, err := parseRecord(sample(t, func(*Record) {})); err != nil || r.Version != RecordVersion || c.GetMetadata().GetName() != "n" {
		t.Errorf("%v, %v, %v", r, c, err)
	}
	// What a newer build of the same version added is ignored.
	if _, _, err := parseRecord(append([]byte(`{"later":1,`), sample(t, func(*Record) {})[1:]...)); err != nil {
		t.Errorf("a field that is not known: %v", err)
	}
	if _, _, err := parseRecord(sample(t, func(r *Record) { r.Version++ })); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("a newer version: %v", err)
	}
	for name, raw := range map[string][]byte{
		"nothing": nil, "no JSON": []byte("{"), "no configuration": sample(t, func(r *Record) { r.Config = nil }),
		"half a configuration": sample(t, func(r *Record) { r.Config = r.Config[:len(r.Config)-1] }),
	} {
		if _, _, err := parseRecord(raw); !errdefs.IsDataLoss(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseRecord(f *testing.F) {
	f.Add(sample(f, func(*Record) {}))
	f.Add(sample(f, func(r *Record) { r.Version = 99 }))
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, c, err := parseRecord(raw)
		if err == nil && (r.Version > RecordVersion || c.GetMetadata() == nil) {
			t.Errorf("let through: %+v", r)
		}
	})
}
