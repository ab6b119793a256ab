package treeremove

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// nest makes directories in each other, each with a file beside.
func nest(t *testing.T, top string, depth int) {
	t.Helper()
	at, err := unix.Open(top, unix.O_PATH|unix.O_DIRECTORY, 0)
	must(t, err)
	for range depth {
		must(t, unix.Mkdirat(at, "d", 0o700))
		must(t, unix.Mknodat(at, "f", unix.S_IFREG|0o600, 0))
		next, err := unix.Openat(at, "d", unix.O_PATH|unix.O_DIRECTORY, 0)
		must(t, err)
		must(t, unix.Close(at))
		at = next
	}
	must(t, unix.Close(at))
}

// TestDeep removes a tree that is deeper than there are descriptors.
func TestDeep(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tree")
	must(t, os.Mkdir(dir, 0o700))
	nest(t, dir, 600)
	var limit unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	defer func() { must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)) }()
	must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: maxDepth + 64, Max: limit.Max}))
	must(t, All(dir))
	if _, err := os.Lstat(dir); !os.IsNotExist(err) {
		t.Errorf("after the removal: %v", err)
	}
}

// TestEverything removes files of all kinds, more than are read at once, and follows no link.
func TestEverything(t *testing.T) {
	outside, dir := t.TempDir(), filepath.Join(t.TempDir(), "tree")
	must(t, os.WriteFile(filepath.Join(outside, "stays"), nil, 0o600))
	must(t, os.MkdirAll(filepath.Join(dir, strings.Repeat("wide/", maxDepth+2)), 0o700))
	for i := range chunk + 1 {
		must(t, os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0))
		must(t, os.MkdirAll(filepath.Join(dir, strings.Repeat("wide/", maxDepth+1), fmt.Sprint(i), "x"), 0))
	}
	must(t, os.Symlink(outside, filepath.Join(dir, "link")))
	must(t, os.Symlink("nowhere", filepath.Join(dir, "dangling")))
	must(t, unix.Mkfifo(filepath.Join(dir, "fifo"), 0))
	must(t, Contents(dir))
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	must(t, All(dir))
	if _, err := os.Stat(filepath.Join(outside, "stays")); err != nil {
		t.Error(err)
	}
}

// TestNoDirectory is about what is there instead of a tree.
func TestNoDirectory(t *testing.T) {
	dir := t.TempDir()
	must(t, All(filepath.Join(dir, "missing")))
	must(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
	must(t, os.Symlink("file", filepath.Join(dir, "link")))
	must(t, All(filepath.Join(dir, "link")))
	must(t, All(filepath.Join(dir, "file")))
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	if err := All(filepath.Join(dir, "missing", "file")); err != nil {
		t.Error(err)
	}
}
