package private

import (
	"os"
	"path/filepath"
	"testing"
)

func TestDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	for _, before := range []os.FileMode{0, 0o711, 0o755, 0o700} { // 0: it is not there
		if before != 0 {
			if err := os.Chmod(dir, before); err != nil {
				t.Fatal(err)
			}
		}
		if err := Directory(dir); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(dir)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o700 {
			t.Errorf("from %o: mode %o", before, info.Mode().Perm())
		}
	}
}
