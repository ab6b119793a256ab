package ocispec

import (
	"errors"
	"fmt"
	"slices"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/selinux/go-selinux"
	"github.com/opencontainers/selinux/go-selinux/label"
	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/internal/hostinfo"
)

// SELinuxIgnored says why options have no effect, "" where they have one or none is set. Manifests for
// all nodes carry SELinux options, so a node without SELinux ignores them, as containerd and CRI-O do.
func SELinuxIgnored(opts *runtimeapi.SELinuxOption, host *hostinfo.Info, d Defaults) string {
	switch {
	case selinuxOptions(opts) == nil:
		return ""
	case !host.SELinux:
		return "selinux_options are ignored: this node has no SELinux."
	case d.DisableSELinux:
		return "selinux_options are ignored: SELinux is switched off in the configuration (security.enable_selinux)."
	}
	return ""
}

// SELinuxLabels makes the process and mount label of a pod. Both are empty where SELinux is off,
// whatever the options say (see SELinuxIgnored). The pod has to keep the labels, and
// ReleaseSELinuxLabel has to be called when the pod is removed.
func SELinuxLabels(opts *runtimeapi.SELinuxOption, host *hostinfo.Info, d Defaults) (process, mount string, err error) {
	if !host.SELinux || d.DisableSELinux {
		return "", "", nil
	}
	process, mount, err = label.InitLabels(selinuxOptions(opts))
	if err != nil {
		return "", "", fmt.Errorf("SELinux labels for %v: %w: %w", opts, err, errdefs.ErrInvalidArgument)
	}
	return process, mount, nil
}

// selinuxOptions are the options as go-selinux takes them; nil where none is set.
func selinuxOptions(o *runtimeapi.SELinuxOption) []string {
	var out []string
	for _, f := range []struct{ key, value string }{
		{"user", o.GetUser()}, {"role", o.GetRole()}, {"type", o.GetType()}, {"level", o.GetLevel()},
	} {
		if f.value != "" {
			out = append(out, f.key+":"+f.value)
		}
	}
	return out
}

// selinux sets the container's labels: the pod's, unless the container has
// options; then it still shares the pod's level if it names none, so that the
// containers of a pod can use the same volumes.
func (b *builder) selinux() error {
	opts := b.sc.GetSelinuxOptions()
	if why := SELinuxIgnored(opts, b.in.Host, b.in.Defaults); why != "" {
		b.warn("%s", why)
	}
	process, mount := b.in.Sandbox.ProcessLabel, b.in.Sandbox.MountLabel
	if selinuxOptions(opts) != nil && (process != "" || !b.sc.Privileged) {
		var err error
		if process, mount, err = SELinuxLabels(withLevel(opts, process), b.in.Host, b.in.Defaults); err != nil {
			return err
		}
	}
	if process == "" {
		if slices.ContainsFunc(b.in.Config.GetMounts(), (*runtimeapi.Mount).GetSelinuxRelabel) && selinuxOptions(opts) != nil {
			b.warn("selinux_relabel of mounts is ignored as well.")
		}
		b.out.Relabel = nil
		return nil
	}
	b.out.ProcessLabel, b.out.MountLabel = process, mount
	b.s.Linux.MountLabel = mount
	b.s.Process.SelinuxLabel = process
	if b.sc.Privileged {
		// The daemon's own label, which is not confined.
		b.s.Process.SelinuxLabel, b.out.ProcessLabel = "", ""
	}
	return nil
}

// withLevel is opts with the level of the pod's label where it has none.
func withLevel(opts *runtimeapi.SELinuxOption, podLabel string) *runtimeapi.SELinuxOption {
	if opts.GetLevel() != "" || podLabel == "" {
		return opts
	}
	pod, err := selinux.NewContext(podLabel)
	if err != nil {
		return opts
	}
	return &runtimeapi.SELinuxOption{User: opts.GetUser(), Role: opts.GetRole(), Type: opts.GetType(), Level: pod["level"]}
}

// Relabel gives a path of Output.Relabel, and all below it, the container's
// mount label. Filesystems without labels are left as they are.
func Relabel(path, mountLabel string) error {
	if err := label.Relabel(path, mountLabel, false); err != nil && !errors.Is(err, unix.ENOTSUP) {
		return fmt.Errorf("labelling %s with %s: %w", path, mountLabel, err)
	}
	return nil
}

// ReserveSELinuxLabel marks the label of a pod found at start as taken.
func ReserveSELinuxLabel(label string) {
	if label != "" {
		selinux.ReserveLabel(label)
	}
}

// ReleaseSELinuxLabel gives a pod's label back; an empty one is ignored.
func ReleaseSELinuxLabel(label string) {
	if label != "" {
		selinux.ReleaseLabel(label)
	}
}
