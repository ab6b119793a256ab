package treewalk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

// deep nests directories in dir, deeper than any path may be long. Each has a file and an empty directory besides.
func deep(t *testing.T, dir string, levels int) {
	t.Helper()
	at, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	must(t, err)
	for range levels {
		for _, name := range []string{"nested directory", "a", "z"} {
			must(t, unix.Mkdirat(at, name, 0o700))
		}
		must(t, unix.Mknodat(at, "file", unix.S_IFREG|0o600, 0))
		below, err := unix.Openat(at, "nested directory", unix.O_RDONLY|unix.O_DIRECTORY, 0)
		must(t, err)
		must(t, unix.Close(at))
		at = below
	}
	must(t, unix.Close(at))
}

// descriptors is how many this process has open.
func descriptors(t *testing.T) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	return len(names)
}

// visited counts directories and files that a walk finds.
func visited(t *testing.T, dir string, each func(*unix.Stat_t)) (directories, files int) {
	t.Helper()
	must(t, Walk(t.Context(), open(t, dir), func(st *unix.Stat_t) bool {
		if each != nil {
			each(st)
		}
		if st.Mode&unix.S_IFMT == unix.S_IFDIR {
			directories++
		} else {
			files++
		}
		return true
	}))
	return directories, files
}

// TestDeep: every entry of a tree is visited, on the way down and on the way back, while few descriptors are open.
func TestDeep(t *testing.T) {
	const levels = 300
	dir := t.TempDir()
	deep(t, dir, levels)
	before, most := descriptors(t), 0
	directories, files := visited(t, dir, func(*unix.Stat_t) { most = max(most, descriptors(t)) })
	if directories != 3*levels || files != levels {
		t.Errorf("%d directories and %d files were visited, there are %d and %d", directories, files, 3*levels, levels)
	}
	if most > before+held+10 {
		t.Errorf("%d descriptors were open, %d before", most, before)
	}
}

// TestWide: a directory with more entries than are read at a time is visited whole, also below many others.
func TestWide(t *testing.T) {
	dir := t.TempDir()
	wide := dir
	for range held + 10 {
		wide = filepath.Join(wide, "d")
	}
	const many = 700
	for i := range many {
		must(t, os.MkdirAll(fmt.Sprintf("%s/%d-directory/x", wide, i), 0o700))
	}
	if directories, _ := visited(t, dir, nil); directories != held+10+2*many {
		t.Errorf("%d directories were visited, there are %d", directories, held+10+2*many)
	}
}

// TestMovedAway: who moves a directory while the walk is in it leads it neither out of the tree nor to an early end.
func TestMovedAway(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	must(t, os.WriteFile(outside+"/secret", nil, 0o600))
	deep(t, dir, held+40)
	must(t, os.WriteFile(dir+"/last", nil, 0o600))
	moved := dir
	for range held + 10 {
		moved += "/nested directory"
	}
	var secret, last, here unix.Stat_t
	must(t, unix.Stat(outside+"/secret", &secret))
	must(t, unix.Stat(dir+"/last", &last))
	must(t, unix.Stat(moved+"/nested directory/nested directory", &here))
	seen := false
	visited(t, dir, func(st *unix.Stat_t) {
		switch st.Ino {
		case secret.Ino:
			t.Error("the walk has left the tree")
		case last.Ino:
			seen = true
		case here.Ino:
			must(t, os.Rename(moved, outside+"/taken"))
		}
	})
	if !seen {
		t.Error("the walk has ended early")
	}
}

// TestEnds: links are not followed, and a caller that has gone ends the walk.
func TestEnds(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	must(t, os.WriteFile(outside+"/secret", nil, 0o600))
	must(t, os.Symlink(outside, dir+"/link"))
	if _, files := visited(t, dir, nil); files != 1 {
		t.Errorf("%d files were visited, there is one link", files)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Walk(ctx, open(t, dir), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
