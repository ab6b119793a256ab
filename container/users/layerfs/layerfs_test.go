package layerfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// write makes a file and the directories above it.
func write(t *testing.T, content string, path ...string) {
	t.Helper()
	p := filepath.Join(path...)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func symlink(t *testing.T, target string, path ...string) {
	t.Helper()
	p := filepath.Join(path...)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, p); err != nil {
		t.Fatal(err)
	}
}

// open is a view with dirs, topmost first.
func open(t *testing.T, dirs ...string) *FS {
	t.Helper()
	f, err := OpenDirs(dirs...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestUpperHidesLower(t *testing.T) {
	up, low := t.TempDir(), t.TempDir()
	write(t, "upper", up, "etc/passwd")
	write(t, "lower", low, "etc/passwd")
	write(t, "group", low, "etc/group")
	write(t, "file", up, "a")
	write(t, "below a file", low, "a/b")
	write(t, "below a dir", up, "c/d")
	write(t, "file below a dir", low, "c")
	f := open(t, up, low)
	for path, want := range map[string]string{"/etc/passwd": "upper", "/etc/group": "group", "etc//./group": "group", "/c/d": "below a dir", "/a": "file"} {
		if got, err := f.ReadFile(path, 100); err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v; want %q", path, got, err, want)
		}
	}
	for _, path := range []string{"/a/b", "/nosuch", "/etc/passwd/x", "/etc/passwd/"} {
		_, err := f.ReadFile(path, 100)
		if !errdefs.IsNotFound(err) || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: got %v, want not found", path, err)
		}
	}
}

// TestLinksStayInside gives every way out of the root that a link can offer.
func TestLinksStayInside(t *testing.T) {
	outside := t.TempDir()
	write(t, "outside", outside, "etc/passwd")
	root := t.TempDir()
	write(t, "inside", root, "etc/passwd")
	symlink(t, filepath.Join(outside, "etc/passwd"), root, "abs")
	symlink(t, "../../../../../../../../etc/passwd", root, "deep/er/up")
	symlink(t, "/../../etc", root, "dirlink")
	symlink(t, outside, root, "outdir")
	symlink(t, "/proc/self/root/etc/passwd", root, "magic")
	symlink(t, "loop2", root, "loop1")
	symlink(t, "loop1", root, "loop2")
	symlink(t, "../etc/./passwd", root, "rel/link")
	symlink(t, "/etc/passwd", root, "deep/er/absolute")
	f := open(t, root)
	for _, path := range []string{"/deep/er/up", "/dirlink/passwd", "/../../etc/passwd", "/rel/link", "/deep/../etc/passwd", "/deep/er/absolute"} {
		if got, err := f.ReadFile(path, 100); err != nil || string(got) != "inside" {
			t.Errorf("%s: got %q, %v; want the file inside", path, got, err)
		}
	}
	for _, path := range []string{"/abs", "/outdir/etc/passwd", "/magic"} {
		if got, err := f.ReadFile(path, 100); !errdefs.IsNotFound(err) {
			t.Errorf("%s: got %q, %v; want not found", path, got, err)
		}
	}
	if _, err := f.ReadFile("/loop1", 100); !errdefs.IsInvalidArgument(err) {
		t.Errorf("a circle of links: got %v", err)
	}
}

// TestLinkAcrossLayers follows a link in one layer to a file in another.
func TestLinkAcrossLayers(t *testing.T) {
	up, low := t.TempDir(), t.TempDir()
	symlink(t, "../usr/lib/passwd", up, "etc/passwd")
	write(t, "real", low, "usr/lib/passwd")
	if got, err := open(t, up, low).ReadFile("/etc/passwd", 100); err != nil || string(got) != "real" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestOnlyBoundedRegularFiles(t *testing.T) {
	root := t.TempDir()
	write(t, strings.Repeat("x", 11), root, "big")
	write(t, strings.Repeat("x", 10), root, "fits")
	if err := unix.Mkfifo(filepath.Join(root, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	f := open(t, root)
	if got, err := f.ReadFile("/fits", 10); err != nil || len(got) != 10 {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	for _, path := range []string{"/big", "/fifo", "/"} {
		if _, err := f.ReadFile(path, 10); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: got %v, want invalid argument", path, err)
		}
	}
}

func TestLayerDirs(t *testing.T) {
	for _, c := range []struct {
		name   string
		mounts []mount.Mount
		want   []string
		refuse bool
	}{
		{name: "bind", mounts: []mount.Mount{{Type: "bind", Source: "/s/1/fs", Options: []string{"rbind", "rw"}}}, want: []string{"/s/1/fs"}},
		{name: "overlay", mounts: []mount.Mount{{Type: "overlay", Source: "overlay", Options: []string{"index=off", "workdir=/s/3/work", "upperdir=/s/3/fs", "lowerdir=/s/2/fs:/s/1/fs"}}},
			want: []string{"/s/3/fs", "/s/2/fs", "/s/1/fs"}},
		{name: "view", mounts: []mount.Mount{{Type: "overlay", Options: []string{"lowerdir=/s/2/fs:/s/1/fs"}}}, want: []string{"/s/2/fs", "/s/1/fs"}},
		{name: "escaped colon", mounts: []mount.Mount{{Type: "overlay", Options: []string{`lowerdir=/a\:b:/c`}}}, want: []string{"/a:b", "/c"}},
		{name: "erofs", mounts: []mount.Mount{{Type: "erofs", Source: "/layer.erofs"}}, refuse: true},
		{name: "several", mounts: []mount.Mount{{Type: "erofs"}, {Type: "overlay"}}, refuse: true},
		{name: "template", mounts: []mount.Mount{{Type: "format/overlay", Options: []string{"lowerdir={{ mount 0 }}"}}}, refuse: true},
		{name: "data-only", mounts: []mount.Mount{{Type: "overlay", Options: []string{"lowerdir=/a::/b"}}}, refuse: true},
		{name: "metacopy", mounts: []mount.Mount{{Type: "overlay", Options: []string{"metacopy=on", "lowerdir=/a:/b"}}}, refuse: true},
		{name: "none", refuse: true},
	} {
		got, err := layerDirs(c.mounts)
		if c.refuse != errdefs.IsNotImplemented(err) || !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, %v; want %v", c.name, got, err, c.want)
		}
	}
}

// FuzzWalk walks hostile paths and link targets; nothing outside may be read.
func FuzzWalk(f *testing.F) {
	f.Add("/a", "/b", "/link")
	f.Add("../../secret", "..", "/link/secret")
	f.Add("/proc/self/root", "x", "link2/../link")
	f.Fuzz(func(t *testing.T, target1, target2, path string) {
		base := t.TempDir()
		write(t, "secret", base, "secret")
		root := filepath.Join(base, "root")
		write(t, "inside", root, "d/file")
		if os.Symlink(target1, filepath.Join(root, "link")) != nil || os.Symlink(target2, filepath.Join(root, "d", "link2")) != nil {
			t.Skip("no such link can exist")
		}
		if got, err := open(t, root).ReadFile(path, 100); err == nil && string(got) != "inside" {
			t.Fatalf("read %q", got)
		}
	})
}
