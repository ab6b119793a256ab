package engine

import (
	"context"
	"path/filepath"
	"testing"
	"time"
)

// TestConnectTimeout: an external containerd that is not there is waited for as long as the
// configuration says, and then named.
func TestConnectTimeout(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "c.sock")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	e, err := Open(ctx, Options{External: missing, ConnectTimeout: time.Millisecond})
	if err == nil {
		_ = e.Close()
		t.Fatal("connected to a socket that does not exist")
	}
	if ctx.Err() != nil {
		t.Error("waited longer than the configuration says")
	}
}

func TestEmbeddedSnapshotters(t *testing.T) {
	found := Snapshotters{}
	for _, name := range EmbeddedSnapshotters() {
		found[name] = nil
	}
	for _, name := range []string{"overlayfs", "native"} {
		if err := found.Check(name); err != nil {
			t.Error(err)
		}
	}
	if err := found.Check("zfs"); err == nil {
		t.Error("zfs is found")
	}
}
