package hostinfo

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"
)

// Options move Detect to other trees; tests use it. The zero value is the machine itself.
type Options struct {
	// ProcRoot and SysRoot replace /proc and /sys, RunRoot replaces /run.
	ProcRoot, SysRoot, RunRoot string
	// LookPath finds a program; nil means exec.LookPath with the sbin
	// directories added.
	LookPath func(name string) (string, error)
	// MountSetattr reports whether mount_setattr(2) exists; nil means to try it.
	MountSetattr func() bool
}

// withDefaults is o with the machine itself wherever nothing is given.
func (o Options) withDefaults() Options {
	if o.ProcRoot == "" {
		o.ProcRoot = "/proc"
	}
	if o.SysRoot == "" {
		o.SysRoot = "/sys"
	}
	if o.RunRoot == "" {
		o.RunRoot = "/run"
	}
	if o.LookPath == nil {
		o.LookPath = lookPath
	}
	if o.MountSetattr == nil {
		o.MountSetattr = haveMountSetattr
	}
	return o
}

func (o Options) proc(path string) string { return filepath.Join(o.ProcRoot, path) }
func (o Options) sys(path string) string  { return filepath.Join(o.SysRoot, path) }

// host moves an absolute path of the machine into the tree that stands for it.
func (o Options) host(path string) string {
	for from, to := range map[string]string{"/proc": o.ProcRoot, "/sys": o.SysRoot, "/run": o.RunRoot} {
		if rest, ok := strings.CutPrefix(path, from+"/"); ok {
			return filepath.Join(to, rest)
		}
	}
	return path
}

// Detect finds out about the machine. It fails only where there is no usable
// cgroup hierarchy or /proc; whatever else cannot be found out counts as
// missing and is named by Warnings.
func Detect(ctx context.Context, o Options) (*Info, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("detecting the host's features: %w", err)
	}
	d := detector{Options: o.withDefaults(), info: &Info{}}
	mounts, err := d.mounts()
	if err != nil {
		return nil, fmt.Errorf("detecting the host's features: %w", err)
	}
	if err := d.cgroup(mounts); err != nil {
		return nil, fmt.Errorf("detecting the host's cgroup layout: %w", err)
	}
	if err := d.capabilities(); err != nil {
		return nil, fmt.Errorf("detecting this process's capabilities: %w", err)
	}
	d.kernel()
	d.swap()
	d.security(mounts)
	d.userNamespaces()
	d.limits()
	// sd_booted(3): systemd makes this directory early at boot, nobody else does.
	d.info.Systemd = isDir(filepath.Join(d.RunRoot, "systemd/system"))
	return d.info, nil
}

// detector collects into info.
type detector struct {
	Options
	info *Info
}

// problem notes something that could not be found out.
func (d *detector) problem(format string, args ...any) {
	d.info.Problems = append(d.info.Problems, fmt.Sprintf(format, args...))
}

func (d *detector) mounts() ([]*mountinfo.Info, error) {
	f, err := os.Open(d.proc("self/mountinfo"))
	if err != nil {
		return nil, fmt.Errorf("reading the mount table (is /proc mounted?): %w", err)
	}
	defer f.Close()
	mounts, err := mountinfo.GetMountsFromReader(f, nil)
	if err != nil {
		return nil, fmt.Errorf("reading the mount table: %w", err)
	}
	return mounts, nil
}

// kernel reads the version and what follows from it.
func (d *detector) kernel() {
	release := d.text(d.proc("sys/kernel/osrelease"))
	v, err := parseKernelVersion(release)
	if err != nil {
		d.problem("The kernel's version %q cannot be read: %v.", release, err)
	}
	d.info.Kernel = v
	if v.AtLeast(5, 12) && d.MountSetattr() {
		d.info.RecursiveReadOnly = true
		d.info.IDMapSyscall = true
	}
}

// parseKernelVersion reads "6.1.0-28-amd64".
func parseKernelVersion(release string) (KernelVersion, error) {
	v := KernelVersion{Release: release}
	major, rest, ok := strings.Cut(release, ".")
	if !ok {
		return v, fmt.Errorf("no dot in it")
	}
	digits := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if digits < 0 {
		digits = len(rest)
	}
	var err error
	if v.Major, err = strconv.Atoi(major); err != nil {
		return v, err
	}
	v.Minor, err = strconv.Atoi(rest[:digits])
	return v, err
}

// text is the trimmed content of a small file, empty if it cannot be read.
func (d *detector) text(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

func isDir(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.IsDir()
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
