package metrics

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/berth-run/berth/internal/cgroup"
)

// FuzzReaders reads cgroups of v1 and of v2 in which one file says anything: what is read can be reported.
func FuzzReaders(f *testing.F) {
	dir := f.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata")); err != nil {
		f.Fatal(err)
	}
	var names []string
	contents := map[string][]byte{}
	for _, version := range []string{"v1", "v2"} {
		err := filepath.WalkDir(filepath.Join(dir, version), func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				contents[path], err = os.ReadFile(path)
				names = append(names, path)
			}
			return err
		})
		if err != nil {
			f.Fatal(err)
		}
	}
	for i, name := range names {
		f.Add(uint8(i), contents[name])
		f.Add(uint8(i), []byte("18446744073709551616\n-1\n"))
	}
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		name := names[int(which)%len(names)]
		defer os.WriteFile(name, contents[name], 0o600)
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		one := cgroup.Paths{"": filepath.Join(dir, "v1/unified")}
		for _, c := range []string{"cpu", "cpuacct", "memory", "blkio", "pids", "hugetlb"} {
			one[c] = filepath.Join(dir, "v1", c)
		}
		for _, g := range []*group{newGroup("/p", false, one), newGroup("/p", true, cgroup.Paths{"": filepath.Join(dir, "v2")})} {
			s, buf := Sample{}, &files{}
			for _, r := range readers([]string{"2MB", "1GB", "64KB"}) {
				var path *fs.PathError
				if err := r.read(buf, g, &s); errors.As(err, &path) {
					t.Errorf("%s: %v", r.name, err)
				}
			}
			readLimits(buf, g)
			if _, err := json.Marshal(s); err != nil {
				t.Errorf("%q in %s: %v", data, name, err)
			}
		}
	})
}
