package container

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/berth-run/berth/container/spec"
)

// image makes a tree with files of so many bytes.
func image(t *testing.T, files map[string]int) string {
	t.Helper()
	root := t.TempDir()
	for name, size := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, make([]byte, size), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// volumesAt makes an empty directory for each path.
func volumesAt(t *testing.T, paths ...string) (volumes []spec.Volume) {
	t.Helper()
	for _, p := range paths {
		volumes = append(volumes, spec.Volume{HostPath: t.TempDir(), ContainerPath: p})
	}
	return volumes
}

// TestVolumesOfOneDirectory: what an image usually declares gets its content, also twice: a directory and one in it, and
// a link to a directory. A name that begins like another one is not in it.
func TestVolumesOfOneDirectory(t *testing.T) {
	root := image(t, map[string]int{"data/file": 1, "data/db/file": 2, "data-2/file": 3, "data/db.old/file": 4})
	if err := os.Symlink("/data", filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	volumes := volumesAt(t, "/data/db", "/data-2", "/link", "/data", "/nothing", "/data/file")
	if err := fillFrom(context.Background(), root, volumes); err != nil {
		t.Fatal(err)
	}
	for i, want := range []int64{2, 3, 1, 1, -1, -1} {
		info, err := os.Stat(filepath.Join(volumes[i].HostPath, "file"))
		if want < 0 && !os.IsNotExist(err) || want >= 0 && (err != nil || info.Size() != want) {
			t.Errorf("%s: %v, %v", volumes[i].ContainerPath, info, err)
		}
	}
}

// TestVolumesDoNotMultiply: many volumes with one directory's content cannot take more than a bounded number of copies,
// in whatever order the image declares them, while a large directory is copied once without a bound.
func TestVolumesDoNotMultiply(t *testing.T) {
	root := image(t, map[string]int{"data/a/b/file": 40 << 20, "z/file": 80 << 20})
	var links []string
	for i := range 3 {
		name := fmt.Sprintf("/l%d", i)
		if err := os.Symlink("/data", filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
		links = append(links, name)
	}
	for name, paths := range map[string][]string{
		"links":  links,
		"nested": {"/data/a/b", "/data/a", "/data"},
		"mixed":  {"/l1", "/data/a/b", "/data"},
	} {
		if err := fillFrom(context.Background(), root, volumesAt(t, paths...)); !errdefs.IsResourceExhausted(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := fillFrom(context.Background(), root, volumesAt(t, "/data", "/z", "/data/a/b")); err != nil {
		t.Errorf("each large directory once, and one of them twice: %v", err)
	}
}
