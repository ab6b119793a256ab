package layerfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// TestLikeOverlayfs makes random layers with whiteouts and opaque directories,
// lets the kernel merge them, and compares.
func TestLikeOverlayfs(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: it mounts overlayfs")
	}
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { compare(t, rand.New(rand.NewPCG(seed, 1))) })
	}
}

func compare(t *testing.T, rnd *rand.Rand) {
	base := t.TempDir()
	var lower string
	for i := range 2 + rnd.IntN(3) {
		dir := filepath.Join(base, fmt.Sprint("layer", i))
		randomLayer(t, rnd, dir, fmt.Sprint(i))
		if i > 0 {
			lower += ":"
		}
		lower += dir
	}
	m := mount.Mount{Type: "overlay", Source: "overlay", Options: []string{"lowerdir=" + lower}}
	merged := filepath.Join(base, "merged")
	if err := os.Mkdir(merged, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := m.Mount(merged); err != nil {
		t.Skipf("the kernel does not mount overlayfs here: %v", err)
	}
	t.Cleanup(func() { mount.UnmountAll(merged, unix.MNT_DETACH) })

	view, err := Open([]mount.Mount{m})
	if err != nil {
		t.Fatal(err)
	}
	defer view.Close()
	read := 0
	for _, p := range allPaths {
		want, wantErr := readInRoot(merged, p)
		got, gotErr := view.ReadFile(p, 1000)
		if (wantErr == nil) != (gotErr == nil) || string(got) != string(want) {
			t.Errorf("%s: got %q, %v; overlayfs has %q, %v", p, got, gotErr, want, wantErr)
		}
		if missing(wantErr) != errdefs.IsNotFound(gotErr) {
			t.Errorf("%s: got %v; overlayfs has %v", p, gotErr, wantErr)
		}
		if wantErr == nil {
			read++
		}
	}
	if read == 0 {
		t.Log("no file survived the merge")
	}
}

func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) }

// readInRoot lets the kernel resolve path with root as its root.
func readInRoot(root, path string) ([]byte, error) {
	dir, err := os.Open(root)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	fd, err := unix.Openat2(int(dir.Fd()), path, &unix.OpenHow{Flags: unix.O_RDONLY, Resolve: unix.RESOLVE_IN_ROOT})
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	return io.ReadAll(f)
}

// allPaths are all names that a random layer can have.
var allPaths = func() (paths []string) {
	for _, a := range []string{"a", "b", "c"} {
		paths = append(paths, a)
		for _, b := range []string{"a", "b", "c"} {
			paths = append(paths, a+"/"+b)
			for _, c := range []string{"a", "b"} {
				paths = append(paths, a+"/"+b+"/"+c)
			}
		}
	}
	return paths
}()

// randomLayer fills dir with files, links, directories, opaque ones and whiteouts.
func randomLayer(t *testing.T, rnd *rand.Rand, dir, name string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, p := range allPaths {
		path := filepath.Join(dir, p)
		if fi, err := os.Lstat(filepath.Dir(path)); err != nil || !fi.IsDir() {
			continue
		}
		var err error
		switch rnd.IntN(10) {
		case 0, 1, 2, 3:
			err = os.Mkdir(path, 0o755)
		case 4:
			if err = os.Mkdir(path, 0o755); err == nil {
				err = unix.Setxattr(path, "trusted.overlay.opaque", []byte("y"), 0)
			}
		case 5:
			err = unix.Mknod(path, unix.S_IFCHR, 0)
		case 6, 7:
			err = os.WriteFile(path, []byte(name+":"+p), 0o644)
		case 8:
			err = os.Symlink([]string{"../", "/", ""}[rnd.IntN(3)]+allPaths[rnd.IntN(len(allPaths))], path)
		}
		if err != nil && !os.IsExist(err) {
			t.Fatalf("%s: %v", path, err)
		}
	}
}
