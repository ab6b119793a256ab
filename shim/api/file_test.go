package api

import (
	"os"
	"path/filepath"
	"testing"
)

func TestWriteFileAtomicLeavesNoTemporaryFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	for _, s := range []string{"one", "two"} {
		if err := WriteFileAtomic(path, []byte(s), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	if err := WriteFileAtomic(filepath.Join(dir, "missing", "f"), nil, 0o600); !os.IsNotExist(err) {
		t.Errorf("missing directory: %v", err)
	}
	data, err := os.ReadFile(path)
	st, _ := os.Stat(path)
	left, _ := os.ReadDir(dir)
	if err != nil || string(data) != "two" || st.Mode().Perm() != 0o640 || len(left) != 1 {
		t.Errorf("%q, %v, %v, %d files", data, err, st.Mode(), len(left))
	}
}
