package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/containerd/log"
	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
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

const (
	// verifyTimeout bounds the check of a database.
	verifyTimeout = time.Minute
	// lockTimeout is how long a database that another process holds is waited for. It is
	// a daemon on its way out: the lock on the root directory keeps others away.
	lockTimeout = 10 * time.Second
)

// verify checks the databases of the embedded containerd before it opens them, and puts
// aside what is damaged, so that the daemon starts without it rather than not at all.
//
// containerd's own database refers to layers in the databases of the snapshotters. It is of no use
// without one of them, so it is put aside with each of them.
func verify(ctx context.Context, o Options) ([]Quarantined, error) {
	if len(o.Check) == 0 {
		return nil, nil
	}
	files := append([]string{metadataFile("")}, snapshotterFiles...)
	results := make([]error, len(files))
	var checks sync.WaitGroup
	for i, file := range files {
		checks.Go(func() { results[i] = inspect(ctx, o.Check, filepath.Join(o.Root, file)) })
	}
	checks.Wait()
	found := map[string]error{}
	for i, err := range results {
		if err != nil {
			found[files[i]] = err
		}
	}
	if len(found) == 0 {
		return nil, nil
	}
	if meta := metadataFile(""); found[meta] == nil {
		found[meta] = errors.New("it goes with the snapshotter's")
	}
	into := filepath.Join(o.Quarantine, time.Now().UTC().Format("20060102T150405.000"))
	var out []Quarantined
	for file, problem := range found {
		from, to := filepath.Join(o.Root, file), filepath.Join(into, file)
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

// inspect has a database checked. Reading one that is damaged can end the process, which
// nothing in the process can prevent, so it is done by another one.
func inspect(ctx context.Context, check CheckCommand, path string) error {
	st, err := os.Stat(path)
	if err != nil || st.Size() == 0 {
		return nil // bolt makes a new one; an error of the disk is told by who opens it next
	}
	ctx, cancel := context.WithTimeout(ctx, verifyTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, check[0], append(check[1:len(check):len(check)], path)...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &exit) || ctx.Err() != nil || exit.ExitCode() == -1:
		// It could not be run, or was killed: that says nothing about the file.
		log.G(ctx).WithError(err).Warnf("could not check the database %s", path)
		return nil
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return errors.New(line)
}

// CheckCommand is a command line to which the path of a database is added, and which
// fails when CheckDatabase does.
type CheckCommand []string

// CheckDatabase reads the whole of a database of containerd. It panics, or worse, on some
// kinds of damage, so it is for a process of its own.
func CheckDatabase(path string) error {
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, Timeout: lockTimeout})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil // another process holds it: it is in use
	}
	if err != nil {
		return err
	}
	defer db.Close()
	return db.View(func(tx *bolt.Tx) error {
		if st, err := os.Stat(path); err == nil && tx.Size() > st.Size() {
			return fmt.Errorf("it has %d bytes of %d", st.Size(), tx.Size())
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
