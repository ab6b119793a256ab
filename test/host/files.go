package host

import (
	"context"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
)

// files counts every file of the trees. Reservations of host-local are files named by
// their address.
func files(_ context.Context, scope Scope, s Snapshot) error {
	for _, tree := range scope.Files {
		err := filepath.WalkDir(tree, func(path string, e fs.DirEntry, err error) error {
			if err != nil {
				return ignoreMissing(err)
			}
			if slices.Contains(scope.SkipFiles, path) {
				if e.IsDir() {
					return fs.SkipDir
				}
				return nil
			}
			if !bookkeeping(path) {
				s.add("file", "%s", path)
			}
			if e.IsDir() && isMountedRoot(path) {
				return fs.SkipDir
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// bookkeeping are files that stay once they were made, one for all.
func bookkeeping(path string) bool {
	name := filepath.Base(path)
	return strings.HasPrefix(name, "last_reserved_ip.") || name == "lock" || strings.HasSuffix(name, ".lock")
}

// isMountedRoot recognises the root filesystem of a container: what is in it is not the
// runtime's.
func isMountedRoot(path string) bool { return filepath.Base(path) == "rootfs" }
