package hostinfo

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go/features"
)

// RuntimeFeatures are what an OCI runtime binary says about itself
// ("runc features"), joined with what the kernel can do.
type RuntimeFeatures struct {
	// Known is false where the binary does not answer "features" (old or
	// foreign runtimes); all else is then false.
	Known bool
	// RecursiveReadOnly: mounts may have "rro", and the kernel can do it.
	RecursiveReadOnly bool
	// UserNamespaces: user namespaces and idmapped mounts (KEP-127).
	UserNamespaces bool
	// Seccomp, AppArmor, SELinux: built into the binary.
	Seccomp, AppArmor, SELinux bool
	// MountOptions are the mount options that the binary knows; empty where unknown.
	MountOptions []string
	// Raw is the whole answer; nil where Known is false.
	Raw *features.Features
}

// QueryRuntime runs "binary features" and joins the answer with the host. It
// has its own deadline. A binary that does not know the command answers a
// RuntimeFeatures that is not Known, and no error.
func QueryRuntime(ctx context.Context, binary string, host *Info) (RuntimeFeatures, error) {
	return RuntimeFeatures{}, fmt.Errorf("asking %s for its features: %w", binary, errdefs.ErrNotImplemented)
}

// IDMapSupported is true where the filesystem that holds dir can be mounted
// idmapped, which a pod with a user namespace needs for every volume. It tries
// it with a detached mount and a short-lived user namespace.
func (i *Info) IDMapSupported(dir string) (bool, error) {
	return false, fmt.Errorf("probing %s: %w", dir, errdefs.ErrNotImplemented)
}
