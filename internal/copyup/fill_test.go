package copyup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	continuity "github.com/containerd/continuity/fs"
	"github.com/containerd/continuity/sysx"
	"github.com/containerd/errdefs"

	"github.com/berth-run/berth/internal/inside"
)

// write makes a file with the directories above it.
func write(t *testing.T, path, content string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(content), 0o644))
}

// volumesOf makes empty volumes for places.
func volumesOf(t *testing.T, places ...string) []Volume {
	t.Helper()
	dir := t.TempDir()
	var out []Volume
	for i, p := range places {
		v := Volume{Path: p, HostPath: filepath.Join(dir, fmt.Sprint(i))}
		must(t, os.Mkdir(v.HostPath, 0o755))
		out = append(out, v)
	}
	return out
}

// lookOf describes all that is in a directory and below it, but for times of directories, which continuity does not keep.
func lookOf(t *testing.T, dir string) string {
	t.Helper()
	var out strings.Builder
	first := map[uint64]string{}
	must(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		must(t, err)
		rel, _ := filepath.Rel(dir, path)
		info, err := e.Info()
		must(t, err)
		st := info.Sys().(*syscall.Stat_t)
		fmt.Fprintf(&out, "%s %v %d:%d", rel, info.Mode(), st.Uid, st.Gid)
		if !e.IsDir() {
			fmt.Fprintf(&out, " %d bytes, %d blocks, device %d, of %v", st.Size, st.Blocks, st.Rdev, info.ModTime())
			if first[st.Ino] == "" {
				first[st.Ino] = rel
			}
			fmt.Fprintf(&out, ", is %s", first[st.Ino])
		}
		if info.Mode().IsRegular() {
			content, err := os.ReadFile(path)
			must(t, err)
			fmt.Fprintf(&out, " %q", strings.Trim(string(content), "\x00"))
		}
		if e.Type() == fs.ModeSymlink {
			target, err := os.Readlink(path)
			must(t, err)
			fmt.Fprintf(&out, " -> %s", target)
		}
		names, err := sysx.LListxattr(path)
		must(t, err)
		for _, name := range names {
			value, err := sysx.LGetxattr(path, name)
			must(t, err)
			fmt.Fprintf(&out, " %s=%q", name, value)
		}
		fmt.Fprintln(&out)
		return nil
	}))
	return out.String()
}

// TestFillIsContinuitysCopy: a volume is as continuity's CopyDir, which filled volumes before, makes it.
func TestFillIsContinuitysCopy(t *testing.T) {
	root := filepath.Dir(tree(t))
	data := filepath.Join(root, names(t, root)[0])
	capability := []byte{1, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	must(t, sysx.LSetxattr(data+"/sparse", "security.capability", capability, 0))
	v := volumesOf(t, data[len(root):])
	_, err := Fill(t.Context(), root, v)
	must(t, err)
	want := t.TempDir()
	must(t, continuity.CopyDir(want, data))
	if got, want := lookOf(t, v[0].HostPath), lookOf(t, want); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestFillOnce: volumes that are links to one directory share its copy, and what a volume below another
// covers is not copied for the other.
func TestFillOnce(t *testing.T) {
	root := t.TempDir()
	write(t, root+"/data/sub/file", "content")
	write(t, root+"/data/file", "content")
	must(t, os.Symlink("data", root+"/one"))
	must(t, os.Symlink("/data", root+"/two"))
	must(t, os.Symlink("/etc/../../..", root+"/top"))
	v := volumesOf(t, "/one", "/two", "/data/sub", "/nothing", "/data/file")
	shared, err := Fill(t.Context(), root, v)
	must(t, err)
	if len(shared) != 1 || shared[v[1].HostPath] != v[0].HostPath {
		t.Errorf("shared are %v", shared)
	}
	for i, want := range []string{"file sub", "", "file", "", ""} {
		if got := strings.Join(names(t, v[i].HostPath), " "); got != want {
			t.Errorf("volume %d has %q, want %q", i, got, want)
		}
	}

	v = volumesOf(t, "/data", "/data/sub", "/data/gone")
	shared, err = Fill(t.Context(), root, v)
	must(t, err)
	if got := names(t, v[0].HostPath+"/sub"); len(shared) != 0 || len(got) != 0 {
		t.Errorf("shared are %v, and the covered directory has %v", shared, got)
	}
	if got := strings.Join(names(t, v[1].HostPath), " "); got != "file" {
		t.Errorf("the volume below has %q", got)
	}
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// TestFillLeadsNowhereElse: a volume that is a link out of the image is a place in the image.
func TestFillLeadsNowhereElse(t *testing.T) {
	root, host := t.TempDir(), t.TempDir()
	write(t, host+"/secret", "of the host")
	must(t, os.Symlink(host, root+"/absolute"))
	must(t, os.Symlink(strings.Repeat("../", 30)+host[1:], root+"/relative"))
	v := volumesOf(t, "/absolute", "/relative")
	_, err := Fill(t.Context(), root, v)
	must(t, err)
	for _, one := range v {
		if got := names(t, one.HostPath); len(got) > 0 {
			t.Errorf("the volume at %s has %v", one.Path, got)
		}
	}
}

// again fills volumes with a bound on what is copied again, and returns how much of it is left.
func again(t *testing.T, root string, bound int64, volumes []Volume) (int64, error) {
	t.Helper()
	top, err := inside.Top(root)
	must(t, err)
	defer top.Close()
	var places []place
	for _, v := range volumes {
		at, _, err := find(top, v.Path)
		must(t, err)
		places = append(places, place{v, at})
	}
	room := &Room{Bytes: bound, Entries: 100}
	c := newCopying(t.Context(), room)
	for _, s := range plan(places) {
		if err := c.fill(top, s); err != nil {
			return room.Bytes, err
		}
	}
	return room.Bytes, nil
}

// TestAgainIsBounded: content that more than one volume has is charged, by whatever way it got there.
func TestAgainIsBounded(t *testing.T) {
	for name, build := range map[string]func(t *testing.T, root string) []string{
		"links into each other": func(t *testing.T, root string) []string {
			write(t, root+"/d/d/d/d/file", strings.Repeat("x", 10_000))
			var places []string
			for i, to := range []string{"d", "d/d", "d/d/d", "d/d/d/d"} {
				must(t, os.Symlink(to, fmt.Sprintf("%s/%d", root, i)))
				places = append(places, fmt.Sprintf("/%d", i))
			}
			return places
		},
		"hard links": func(t *testing.T, root string) []string {
			write(t, root+"/0/file", strings.Repeat("x", 10_000))
			places := []string{"/0"}
			for i := 1; i < 4; i++ {
				must(t, os.Mkdir(fmt.Sprintf("%s/%d", root, i), 0o755))
				must(t, os.Link(root+"/0/file", fmt.Sprintf("%s/%d/file", root, i)))
				places = append(places, fmt.Sprintf("/%d", i))
			}
			return places
		},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			v := volumesOf(t, build(t, root)...)
			left, err := again(t, root, 100_000, v)
			must(t, err)
			if charged := 100_000 - left; charged != 3*10_000 {
				t.Errorf("%d bytes are charged for three more copies of 10,000", charged)
			}
			v = volumesOf(t, places(v)...)
			if _, err := again(t, root, 20_000, v); !errdefs.IsResourceExhausted(err) {
				t.Errorf("beyond the bound: %v", err)
			}
		})
	}
}

func places(volumes []Volume) []string {
	var out []string
	for _, v := range volumes {
		out = append(out, v.Path)
	}
	return out
}

// TestFillEndsWithItsContext: nothing is copied for a caller that has gone.
func TestFillEndsWithItsContext(t *testing.T) {
	root := t.TempDir()
	write(t, root+"/data/file", "content")
	gone := errors.New("the caller has gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(gone)
	v := volumesOf(t, "/data")
	if _, err := Fill(ctx, root, v); !errors.Is(err, gone) {
		t.Errorf("got %v", err)
	}
	if got := names(t, v[0].HostPath); len(got) > 0 {
		t.Errorf("the volume has %v", got)
	}
}
