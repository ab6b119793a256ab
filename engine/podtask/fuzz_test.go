package podtask

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/errdefs"
)

// FuzzRecord reads any record, also as the file of a bundle, and any OCI spec beside it: a record is taken as it is,
// half a record is no task, and a newer one is left alone.
func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"version":1,"socket":"/run/berth/s"}`), []byte(`{"linux":{"gidMappings":[{"containerID":0,"hostID":1000,"size":10}]}}`))
	f.Add([]byte(`{"version":2}`), []byte(`{}`))
	f.Add([]byte(`{"version":1,"soc`), []byte(`[]`))
	f.Add([]byte(`null`), []byte(`{"linux":null}`))
	f.Add([]byte(``), []byte(``))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text, spec []byte) {
		b := bundle(filepath.Join(dir, "b"))
		if err := os.Mkdir(string(b), 0o700); err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(string(b))
		if err := os.WriteFile(filepath.Join(string(b), recordFile), text, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := b.read()
		if err != nil && !errdefs.IsNotFound(err) && !errdefs.IsNotImplemented(err) {
			t.Errorf("%q: %v", text, err)
		}
		if err == nil {
			again, _ := json.Marshal(r)
			if same, err := parseRecord(again); err != nil || same != r {
				t.Errorf("%+v, then %+v, %v", r, same, err)
			}
		}
		_ = b.admit(spec)
		info, err := os.Stat(string(b))
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode().Perm(); mode != 0o700 && mode != 0o710 {
			t.Errorf("%q: the bundle has mode %o", spec, mode)
		}
		if err := b.remove(); err != nil {
			t.Errorf("remove: %v", err)
		}
	})
}
