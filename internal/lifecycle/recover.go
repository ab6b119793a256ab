package lifecycle

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"
)

// recoveryParallelism bounds how many objects are looked at side by side when the daemon starts.
const recoveryParallelism = 16

// Each calls fn for every object, some of them side by side, and returns when all calls have ended.
func Each[T any](objects []T, fn func(T)) {
	var g errgroup.Group
	g.SetLimit(recoveryParallelism)
	for _, o := range objects {
		g.Go(func() error {
			fn(o)
			return nil
		})
	}
	_ = g.Wait() // no function has an error
}

// Unrecorded lists what a directory holds that has no record, as paths: a crash between the end of a record and the end
// of its directory leaves that. A directory that does not exist holds nothing.
func Unrecorded(dir string, recorded map[string]bool) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		return nil, fmt.Errorf("look for directories without a record: %w", err)
	}
	var out []string
	for _, e := range entries {
		if !recorded[e.Name()] {
			out = append(out, filepath.Join(dir, e.Name()))
		}
	}
	return out, nil
}
