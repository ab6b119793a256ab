package copyup

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/continuity/fs/fstest"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

func unbounded() *Room { return &Room{Bytes: math.MaxInt64, Entries: math.MaxInt64} }

// copyTree copies what another copy has too.
func copyTree(ctx context.Context, to, from *os.File, room *Room) error {
	c := newCopying(ctx, room)
	c.again = true
	return c.tree(to, from)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// open opens a directory for the length of the test.
func open(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

// tree makes a directory with one of everything.
func tree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "sub/deep"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "file"), []byte("content"), 0o640))
	must(t, os.WriteFile(filepath.Join(dir, "sub/deep/other"), nil, 0o600))
	must(t, os.Link(filepath.Join(dir, "file"), filepath.Join(dir, "sub/same")))
	must(t, os.Symlink("../nowhere", filepath.Join(dir, "sub/link")))
	must(t, unix.Mkfifo(filepath.Join(dir, "sub/pipe"), 0o622))
	must(t, unix.Setxattr(filepath.Join(dir, "file"), "user.note", []byte("hello"), 0))
	must(t, unix.Setxattr(filepath.Join(dir, "sub"), "user.note", []byte("dir"), 0))
	sparse, err := os.Create(filepath.Join(dir, "sparse"))
	must(t, err)
	_, err = sparse.WriteAt([]byte("end"), 8<<20)
	must(t, err)
	must(t, sparse.Truncate(16<<20))
	must(t, sparse.Close())
	if os.Geteuid() == 0 {
		must(t, unix.Mknod(filepath.Join(dir, "null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
		must(t, os.Lchown(filepath.Join(dir, "sub/link"), 12, 34))
		must(t, os.Chown(filepath.Join(dir, "file"), 4242, 4243))
	}
	must(t, unix.Chmod(filepath.Join(dir, "file"), 0o4755))
	must(t, unix.Chmod(filepath.Join(dir, "sub"), 0o1777))
	for _, name := range []string{"file", "sub/link", "sub/deep", "sub", "."} {
		must(t, unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(dir, name), []unix.Timespec{{Sec: 5}, {Sec: 7, Nsec: 9}}, unix.AT_SYMLINK_NOFOLLOW))
	}
	return dir
}

func TestTree(t *testing.T) {
	from, to := tree(t), t.TempDir()
	room := &Room{Bytes: 1 << 20, Entries: 100}
	must(t, copyTree(context.Background(), open(t, to), open(t, from), room))
	must(t, fstest.CheckDirectoryEqual(to, from))
	var copied, sparse, first, second unix.Stat_t
	must(t, unix.Stat(filepath.Join(to, "sub"), &copied))
	if copied.Mtim != (unix.Timespec{Sec: 7, Nsec: 9}) {
		t.Errorf("time of a directory: %v", copied.Mtim)
	}
	must(t, unix.Stat(filepath.Join(to, "sparse"), &sparse))
	if sparse.Size != 16<<20 || sparse.Blocks*512 > 1<<20 {
		t.Errorf("a file with holes has %d bytes in %d blocks", sparse.Size, sparse.Blocks)
	}
	must(t, unix.Stat(filepath.Join(to, "file"), &first))
	must(t, unix.Stat(filepath.Join(to, "sub/same"), &second))
	if first.Ino != second.Ino || first.Mode&0o7777 != 0o4755 {
		t.Errorf("a file with two names: %+v and %+v", first, second)
	}
	if used := 1<<20 - room.Bytes; used > 64<<10 || room.Entries < 80 {
		t.Errorf("%d bytes and %d entries were taken", used, 100-room.Entries)
	}
}

// TestManyEntries reads a directory that is larger than a chunk.
func TestManyEntries(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	for i := range 3*chunk + 1 {
		must(t, os.WriteFile(filepath.Join(from, fmt.Sprint(i)), nil, 0o600))
	}
	must(t, copyTree(context.Background(), open(t, to), open(t, from), unbounded()))
	if entries, err := os.ReadDir(to); err != nil || len(entries) != 3*chunk+1 {
		t.Errorf("%d entries, %v", len(entries), err)
	}
}

func TestRoomIsBounded(t *testing.T) {
	for name, room := range map[string]*Room{"bytes": {Bytes: 6, Entries: 100}, "entries": {Bytes: 1 << 20, Entries: 3}} {
		err := copyTree(context.Background(), open(t, t.TempDir()), open(t, tree(t)), room)
		if !errdefs.IsResourceExhausted(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDeepTree(t *testing.T) {
	from := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(from, strings.Repeat("d/", 300)), 0o755))
	if err := copyTree(context.Background(), open(t, t.TempDir()), open(t, from), unbounded()); !errdefs.IsResourceExhausted(err) {
		t.Errorf("300 directories in each other: %v", err)
	}
}

func TestCallerLeaves(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := copyTree(ctx, open(t, t.TempDir()), open(t, tree(t)), unbounded()); !errors.Is(err, context.Canceled) {
		t.Errorf("the copy goes on: %v", err)
	}
}
