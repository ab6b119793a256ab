package treesize

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestOf(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	must(t, os.WriteFile(filepath.Join(outside, "large"), make([]byte, 1<<20), 0o600))
	must(t, os.MkdirAll(filepath.Join(dir, "a/b"), 0o700))
	must(t, os.WriteFile(filepath.Join(dir, "a/b/file"), make([]byte, 100_000), 0o600))
	must(t, os.Link(filepath.Join(dir, "a/b/file"), filepath.Join(dir, "again")))
	must(t, os.Symlink(outside, filepath.Join(dir, "out")))
	sparse, err := os.Create(filepath.Join(dir, "sparse"))
	must(t, err)
	must(t, sparse.Truncate(1<<30))
	must(t, sparse.Close())
	got, err := Of(context.Background(), dir)
	must(t, err)
	if got.Inodes != 6 || got.Bytes < 100_000 || got.Bytes > 150_000 {
		t.Errorf("got %+v, want six inodes and a little more than 100,000 bytes", got)
	}
}

// TestManyAndDeep: a file counts however deep it lies.
func TestManyAndDeep(t *testing.T) {
	const many, deep = 600, 300
	dir := t.TempDir()
	for i := range many {
		must(t, os.Mkdir(filepath.Join(dir, strings.Repeat("x", i%200+1)+string(rune('a'+i/200))), 0o700))
	}
	must(t, os.MkdirAll(filepath.Join(dir, strings.Repeat("d/", deep)), 0o700))
	must(t, os.WriteFile(filepath.Join(dir, strings.Repeat("d/", deep), "file"), make([]byte, 1<<20), 0o600))
	got, err := Of(context.Background(), dir)
	must(t, err)
	if want := int64(1 + many + deep + 1); got.Inodes != want || got.Bytes < 1<<20 {
		t.Errorf("%d inodes and %d bytes, want %d and more than 1 MiB", got.Inodes, got.Bytes, want)
	}
}

func TestNothing(t *testing.T) {
	if got, err := Of(context.Background(), filepath.Join(t.TempDir(), "missing")); err != nil || got != (Size{}) {
		t.Errorf("a directory that does not exist: %+v, %v", got, err)
	}
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Of(ctx, dir); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that leaves: %v", err)
	}
}
