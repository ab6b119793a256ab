package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"

	"github.com/berth-run/berth/test/images"
)

// nameAnnotation is where the layout in the guest keeps the name of each image.
const nameAnnotation = "org.opencontainers.image.ref.name"

// suite is a test package that is compiled for the guest.
type suite struct {
	pkg string // its directory below the source tree
	run string // which of its tests
}

// suites run in the order of their packages' names. Besides the guest's own test these are
// the ones that do something real with cgroups.
var suites = []suite{
	{"cgroup", "^TestReal"},
	{"metrics", "^TestReal"},
	{"test/vm/guest", "."},
}

// companions are the programs of bin/ that the guest needs.
var companions = []string{
	"berthd", "berth-shim", "berth-init", "runc",
	"cni/bridge", "cni/host-local", "cni/portmap", "cni/loopback", "cni/firewall", "cni/tuning",
}

// built are the files a machine starts from.
type built struct {
	kernel, initramfs, disk, swap string
}

// build makes them in dir. The kernel is kept below build/vm of the source tree.
func build(ctx context.Context, source, dir string) (built, error) {
	k, err := fetchKernel(ctx, filepath.Join(source, "build/vm"))
	if err != nil {
		return built{}, err
	}
	index, err := indexModules(k.modules)
	if err != nil {
		return built{}, err
	}
	b := built{
		kernel: k.image, initramfs: filepath.Join(dir, "initramfs"),
		disk: filepath.Join(dir, "disk"), swap: filepath.Join(dir, "swap"),
	}
	busybox := filepath.Join(source, "build/busybox")

	boot := &tree{dir: filepath.Join(dir, "boot")}
	boot.copy("bin/busybox", busybox)
	boot.modules(index, bootModules)
	boot.write("init", 0o755, initramfsScript)
	boot.do(func() error { return writeInitramfs(b.initramfs, boot.dir) })

	root := &tree{dir: filepath.Join(dir, "root")}
	root.mkdir("dev", "proc", "sys", "run", "root", "var/tmp", "var/lib", "etc", "usr/sbin")
	root.do(func() error { return os.Chmod(root.dir, 0o755) })
	root.do(func() error { return os.Symlink("var/tmp", filepath.Join(root.dir, "tmp")) })
	root.do(func() error { return os.Symlink("../run", filepath.Join(root.dir, "var/run")) })
	root.busybox(busybox)
	root.program("nft")
	root.appArmor(ctx, filepath.Join(source, "build/vm/apparmor"))
	root.modules(index, guestModules)
	root.write("sbin/init", 0o755, initScript)
	root.etc()
	root.source(ctx, source)
	root.do(func() error { return writeImages(filepath.Join(root.dir, "images")) })
	root.do(func() error { return makeDisk(ctx, b.disk, root.dir) })
	return b, errors.Join(boot.err, root.err, sparse(b.swap, swapSize))
}

func (t *tree) etc() {
	t.write("etc/passwd", 0o644, []byte("root:x:0:0:root:/root:/bin/sh\n"))
	t.write("etc/group", 0o644, []byte("root:x:0:\ntty:x:5:\n"))
	t.write("etc/hosts", 0o644, []byte("127.0.0.1 localhost berth-vm\n"))
	t.write("etc/resolv.conf", 0o644, []byte("nameserver 127.0.0.1\n"))
}

// appArmor puts there what loads profiles, out of Debian's package, which is unpacked in dir.
func (t *tree) appArmor(ctx context.Context, dir string) {
	const parser = "sbin/apparmor_parser"
	t.do(func() error {
		if _, err := os.Stat(filepath.Join(dir, parser)); err == nil {
			return nil
		}
		return unpack(ctx, "apparmor", dir)
	})
	t.binary(parser, filepath.Join(dir, parser))
	t.do(func() error {
		return os.CopyFS(filepath.Join(t.dir, "etc/apparmor.d"), os.DirFS(filepath.Join(dir, "etc/apparmor.d")))
	})
}

// source puts there what tests look for in Berth's source tree, and the tests.
func (t *tree) source(ctx context.Context, source string) {
	t.copy("src/go.mod", filepath.Join(source, "go.mod"))
	for _, name := range companions {
		t.copy("src/bin/"+name, filepath.Join(source, "bin", name))
	}
	t.mkdir("tests")
	for n, s := range suites {
		name := fmt.Sprintf("tests/%d-%s", n, filepath.Base(s.pkg))
		t.mkdir("src/" + s.pkg)
		t.do(func() error {
			return run(ctx, source, "env", "CGO_ENABLED=0", "go", "test", "-c", "-ldflags", "-s -w",
				"-o", filepath.Join(t.dir, name+".test"), "./"+s.pkg)
		})
		t.write(name+".dir", 0o644, []byte("/src/"+s.pkg+"\n"))
		t.write(name+".run", 0o644, []byte(s.run+"\n"))
	}
}

// writeImages stores the images that the guest serves to its berthd as an OCI layout.
func writeImages(dir string) error {
	set, err := images.New()
	if err != nil {
		return err
	}
	out, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	for _, name := range []string{images.Busybox, images.Tools} {
		img, err := set.Image(name)
		if err != nil {
			return err
		}
		if err := out.AppendImage(img, layout.WithAnnotations(map[string]string{nameAnnotation: name})); err != nil {
			return fmt.Errorf("storing the image %s: %w", name, err)
		}
	}
	return nil
}
