package vm

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// kernelPackage is Debian's; it depends on the package with the kernel itself.
const kernelPackage = "linux-image-cloud-amd64"

// kernel is an unpacked kernel package.
type kernel struct {
	image   string // the bootable file
	modules string // the directory with the *.ko files
}

// fetchKernel unpacks Debian's cloud kernel below dir, downloading it when it is not there.
func fetchKernel(ctx context.Context, dir string) (kernel, error) {
	if k, err := findKernel(dir); err == nil {
		return k, nil
	}
	pkg, err := kernelName(ctx)
	if err != nil { // a machine whose package lists were never fetched
		if err := run(ctx, "/", "apt-get", "-q", "update"); err != nil {
			return kernel{}, err
		}
		if pkg, err = kernelName(ctx); err != nil {
			return kernel{}, err
		}
	}
	if err := unpack(ctx, pkg, filepath.Join(dir, "kernel")); err != nil {
		return kernel{}, err
	}
	return findKernel(dir)
}

// unpack downloads a package and unpacks it in a directory, without installing it.
func unpack(ctx context.Context, pkg, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := run(ctx, dir, "apt-get", "-q", "download", pkg); err != nil {
		return err
	}
	debs, err := filepath.Glob(filepath.Join(dir, pkg+"_*.deb"))
	if err != nil || len(debs) != 1 {
		return fmt.Errorf("after the download of %s there are %d files of it in %s (%v)", pkg, len(debs), dir, err)
	}
	if err := run(ctx, dir, "dpkg", "-x", debs[0], dir); err != nil {
		return err
	}
	return os.Remove(debs[0])
}

func findKernel(dir string) (kernel, error) {
	images, _ := filepath.Glob(filepath.Join(dir, "kernel/boot/vmlinuz-*"))
	modules, _ := filepath.Glob(filepath.Join(dir, "kernel/lib/modules/*/kernel"))
	if len(images) != 1 || len(modules) != 1 {
		return kernel{}, fmt.Errorf("%s/kernel has %d kernels with %d sets of modules, not one: remove it", dir, len(images), len(modules))
	}
	return kernel{image: images[0], modules: modules[0]}, nil
}

var dependsOn = regexp.MustCompile(`(?m)^\s*Depends: (linux-image-\S+)`)

// kernelName is the package that kernelPackage stands for, "linux-image-6.1.0-56-cloud-amd64".
func kernelName(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "apt-cache", "depends", kernelPackage).Output()
	if err != nil {
		return "", fmt.Errorf("apt-cache depends %s: %w", kernelPackage, err)
	}
	m := dependsOn.FindSubmatch(out)
	if m == nil {
		return "", fmt.Errorf("%s depends on no kernel: %s", kernelPackage, out)
	}
	return string(m[1]), nil
}

// run runs a program in a directory; its output is part of the error.
func run(ctx context.Context, dir, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", program, strings.Join(args, " "), err, out)
	}
	return nil
}
