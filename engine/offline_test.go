package engine

import (
	"errors"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	bolt "go.etcd.io/bbolt"
)

// TestRecordedIDsInUse: a database that a daemon holds is said to be in use, and what to do.
func TestRecordedIDsInUse(t *testing.T) {
	root, _ := database(t)
	db, err := bolt.Open(metadataFile(root), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	_, err = RecordedIDs(t.Context(), root)
	if !errors.Is(err, errdefs.ErrFailedPrecondition) || !strings.Contains(err.Error(), "--state") || strings.Contains(err.Error(), "timeout") {
		t.Errorf("%v", err)
	}
}
