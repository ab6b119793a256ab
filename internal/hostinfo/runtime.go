package hostinfo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go/features"
)

// queryTimeout bounds "runc features", which usually takes some 10 ms.
const queryTimeout = 10 * time.Second

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
// has its own deadline. A binary that exists but does not know the command
// answers a RuntimeFeatures that is not Known, and no error; one that is
// missing is ErrNotFound.
func QueryRuntime(ctx context.Context, binary string, host *Info) (RuntimeFeatures, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	var stdout bytes.Buffer
	cmd := exec.CommandContext(ctx, binary, "features")
	cmd.Stdout = &stdout
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) && ctx.Err() == nil {
			return RuntimeFeatures{}, nil
		}
		var class error = errdefs.ErrUnavailable
		switch {
		case ctx.Err() != nil:
			class = ctx.Err()
		case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
			class = errdefs.ErrNotFound
		}
		return RuntimeFeatures{}, fmt.Errorf("asking the OCI runtime %s for its features: %w: %w", binary, err, class)
	}
	var raw features.Features
	if err := json.Unmarshal(stdout.Bytes(), &raw); err != nil {
		return RuntimeFeatures{}, nil
	}
	return joinFeatures(&raw, host), nil
}

// joinFeatures is what binary and kernel can do together.
func joinFeatures(raw *features.Features, host *Info) RuntimeFeatures {
	f := RuntimeFeatures{Known: true, Raw: raw, MountOptions: raw.MountOptions}
	f.RecursiveReadOnly = host.RecursiveReadOnly && slices.Contains(raw.MountOptions, "rro")
	l := raw.Linux
	if l == nil {
		return f
	}
	idmap := l.MountExtensions != nil && l.MountExtensions.IDMap != nil && isTrue(l.MountExtensions.IDMap.Enabled)
	f.UserNamespaces = idmap && slices.Contains(l.Namespaces, "user") && host.UserNamespaces && host.IDMapSyscall
	f.Seccomp = l.Seccomp != nil && isTrue(l.Seccomp.Enabled)
	f.AppArmor = l.Apparmor != nil && isTrue(l.Apparmor.Enabled)
	f.SELinux = l.Selinux != nil && isTrue(l.Selinux.Enabled)
	return f
}

func isTrue(b *bool) bool { return b != nil && *b }
