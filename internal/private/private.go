// Package private makes directories that nobody but root can pass.
//
// What containers write is below such directories: a file with the set-user-ID bit, which a container's
// root can make, would otherwise be a way to root for every user of the host (CVE-2021-41103,
// CVE-2024-25621). OCI runtimes open what they bind into a container before they take the identity
// of a user namespace's root, so that this one need not pass either.
package private

import (
	"fmt"
	"os"
)

// othersMay are the permission bits of all but the owner.
const othersMay = 0o077

// Directory makes a directory with its parents, mode 0700. It takes the permissions of others away from a
// directory that exists.
func Directory(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return fmt.Errorf("make a directory for root alone: %w", err)
	}
	info, err := os.Lstat(path)
	if err != nil {
		return fmt.Errorf("make a directory for root alone: %w", err)
	}
	if mode := info.Mode().Perm(); mode&othersMay != 0 {
		if err := os.Chmod(path, mode&^othersMay); err != nil {
			return fmt.Errorf("close a directory to all but root: %w", err)
		}
	}
	return nil
}
