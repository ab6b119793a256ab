// Package users resolves the user and the groups that a container runs as from
// the /etc/passwd and /etc/group of its image, without mounting anything.
//
// A container's root filesystem exists as a stack of directories (an overlay
// snapshot's layers, or a single directory for a bind mount) before it is
// mounted. [Open] puts a read-only merged view over those directories, and
// [Lookup] reads the two files through it. Nothing in an image can lead the
// reader out of those directories or make it read more than a bounded amount.
package users

import "io"

// UserSpec is a request for a user.
type UserSpec struct {
	// User is a name, or a decimal UID. Empty means UID 0.
	User string
	// Group is a name, or a decimal GID. Empty means the user's primary group
	// in the image, 0 if it has none.
	Group string
	// SupplementalGroups are GIDs from the request that come in any case.
	SupplementalGroups []int64
	// Strict leaves out the groups that the image's /etc/group gives the user
	// (SupplementalGroupsPolicy Strict, KEP-3619).
	Strict bool
	// UserMustBeName refuses a User that is not found by name in /etc/passwd,
	// numbers included (CRI run_as_username).
	UserMustBeName bool
	// Image is the image's name, for messages.
	Image string
}

// Resolved is the identity of a container's first process.
type Resolved struct {
	// UID and GID are container IDs (inside a user namespace: inside IDs).
	UID, GID uint32
	// AdditionalGIDs are the supplementary groups, the primary group first,
	// without duplicates.
	AdditionalGIDs []uint32
	// Name is the user's name in the image, empty if it has none.
	Name string
}

// FS is a root filesystem that files can be read from.
type FS interface {
	// Open opens a regular file for reading by its absolute path inside the root,
	// following symbolic links inside the root only. The error is
	// errdefs.ErrNotFound when there is no such file (fs.ErrNotExist as well),
	// errdefs.ErrInvalidArgument when it is not a regular file or larger than limit bytes.
	Open(path string, limit int64) (io.ReadCloser, error)
}
