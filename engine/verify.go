package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/containerd/log"
	bolt "go.etcd.io/bbolt"
)

// Quarantined is a file that turned out to be damaged, and was put aside.
type Quarantined struct {
	// File is where it was, Now where it is.
	File string `json:"file"`
	Now  string `json:"now"`
	// Problem is what is wrong with it.
	Problem string `json:"problem"`
}

// String says it in a line.
func (q Quarantined) String() string {
	return fmt.Sprintf("%s is damaged (%s) and was moved to %s", q.File, q.Problem, q.Now)
}

// snapshotterFiles are the databases of the snapshotters below containerd's root.
var snapshotterFiles = []string{
	"io.containerd.snapshotter.v1.overlayfs/metadata.db",
	"io.containerd.snapshotter.v1.native/metadata.db",
}

// verifyTimeout is how long a database that another process holds is waited for. It is
// a daemon on its way out: the lock on the root directory keeps others away.
const verifyTimeout = 10 * time.Second

// verify checks the databases of the embedded containerd before it opens them, and puts
// aside what is damaged, so that the daemon starts without it rather than not at all.
//
// containerd's own database is of no use without those of the snapshotters, whose layers
// it refers to, so it goes with each of them.
func verify(ctx context.Context, root, quarantine string) ([]Quarantined, error) {
	found := map[string]error{}
	for _, file := range append([]string{metadataFile("")}, snapshotterFiles...) {
		if err := check(filepath.Join(root, file)); err != nil {
			found[file] = err
		}
	}
	if len(found) == 0 {
		return nil, nil
	}
	if meta := metadataFile(""); found[meta] == nil {
		found[meta] = errors.New("it goes with the snapshotter's")
	}
	into := filepath.Join(quarantine, time.Now().UTC().Format("20060102T150405.000"))
	var out []Quarantined
	for file, problem := range found {
		from, to := filepath.Join(root, file), filepath.Join(into, file)
		if err := move(from, to); err != nil {
			return out, fmt.Errorf("put aside the damaged file %s (%w): %w", from, problem, err)
		}
		q := Quarantined{File: from, Now: to, Problem: problem.Error()}
		log.G(ctx).Errorf("METADATA LOST: %s. Pods and containers it had on record are ended and their images are pulled again; the kubelet makes the pods anew", q)
		out = append(out, q)
	}
	return out, nil
}

// move renames a file that may be missing.
func move(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}

// check reads a whole database. A missing one is right; an error of the disk or of another
// process that holds it is not the file's fault, and left to who opens it next.
func check(path string) (err error) {
	st, err := os.Stat(path)
	switch {
	case os.IsNotExist(err):
		return nil
	case err != nil:
		return nil
	case st.Size() == 0:
		return nil // bolt makes a new one of it, as after a crash in its first moment
	}
	// A file that is shorter than it says makes reading its mapping fault.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("reading it fails: %v", p)
		}
	}()
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, Timeout: verifyTimeout, PreLoadFreelist: true})
	if err != nil {
		if errors.Is(err, bolt.ErrTimeout) || os.IsPermission(err) {
			return nil
		}
		return err
	}
	defer db.Close()
	return db.View(func(tx *bolt.Tx) error {
		if size := tx.Size(); size > st.Size() {
			return fmt.Errorf("it has %d bytes of %d", st.Size(), size)
		}
		// Every page is visited here first, where a fault can be caught; Check reads
		// in a goroutine of its own.
		if err := walk(tx); err != nil {
			return err
		}
		var first error
		for problem := range tx.Check() {
			if first == nil {
				first = problem
			}
		}
		return first
	})
}

// walk reads all keys and values of all buckets.
func walk(tx *bolt.Tx) error {
	var visit func(b *bolt.Bucket) error
	visit = func(b *bolt.Bucket) error {
		return b.ForEach(func(k, v []byte) error {
			if v == nil {
				return visit(b.Bucket(k))
			}
			return nil
		})
	}
	return tx.ForEach(func(_ []byte, b *bolt.Bucket) error { return visit(b) })
}
