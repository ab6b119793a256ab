package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/errdefs"
	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// metadataFile is containerd's database below its root.
func metadataFile(root string) string {
	return filepath.Join(root, "io.containerd.metadata.v1.bolt", "meta.db")
}

// offlineTimeout is how long a database that is in use is waited for.
const offlineTimeout = time.Second

// RecordedIDs reads the IDs of all pods and containers from the database of an embedded
// containerd that does not run. One that was never there has none; one that is in use is
// errdefs.ErrFailedPrecondition.
func RecordedIDs(ctx context.Context, root string) (map[string]bool, error) {
	path := metadataFile(root)
	if _, err := os.Stat(path); os.IsNotExist(err) {
		return map[string]bool{}, nil
	}
	file, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, Timeout: offlineTimeout})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("%s is in use: a berthd with this root runs, with another state directory than the one given; "+
			"give the --state that it was started with: %w", path, errdefs.ErrFailedPrecondition)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	defer file.Close()
	db := metadata.NewDB(file, nil, nil)
	ctx = Context(ctx)
	known := map[string]bool{}
	pods, err := metadata.NewSandboxStore(db).List(ctx)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	for _, p := range pods {
		known[p.ID] = true
	}
	ctrs, err := metadata.NewContainerStore(db).List(ctx)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	for _, c := range ctrs {
		known[c.ID] = true
	}
	return known, nil
}
