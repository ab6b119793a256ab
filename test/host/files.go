package host

import (
	"context"
	"io/fs"
	"path/filepath"
	"regexp"
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
			if !bookkeeping(path, e) {
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

// object recognises directories that are named by what they are for: a pod, a container.
var object = regexp.MustCompile(`[0-9a-f]{32}`)

// bookkeeping are files and directories that stay once they were made, one for all.
func bookkeeping(path string, e fs.DirEntry) bool {
	name := filepath.Base(path)
	if e.IsDir() {
		return !object.MatchString(name)
	}
	return strings.HasPrefix(name, "last_reserved_ip.") || name == "lock" || strings.HasSuffix(name, ".lock")
}

// isMountedRoot recognises the root filesystem of a container: what is in it is not the
// runtime's.
func isMountedRoot(path string) bool { return filepath.Base(path) == "rootfs" }
