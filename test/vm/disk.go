package vm

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

//go:embed initramfs.sh
var initramfsScript []byte

//go:embed init.sh
var initScript []byte

const (
	diskSize = 4 << 30 // sparse
	swapSize = 256 << 20
)

// tree is a root filesystem in the making. The first error sticks, and is seen in err.
type tree struct {
	dir string
	err error
}

func (t *tree) do(f func() error) {
	if t.err == nil {
		t.err = f()
	}
}

func (t *tree) mkdir(names ...string) {
	for _, name := range names {
		t.do(func() error { return os.MkdirAll(filepath.Join(t.dir, name), 0o755) })
	}
}

func (t *tree) write(name string, mode fs.FileMode, content []byte) {
	t.mkdir(filepath.Dir(name))
	t.do(func() error { return os.WriteFile(filepath.Join(t.dir, name), content, mode) })
}

// copy puts a file of this machine there, its mode included.
func (t *tree) copy(name, from string) {
	t.mkdir(filepath.Dir(name))
	t.do(func() error {
		in, err := os.Open(from)
		if err != nil {
			return err
		}
		defer in.Close()
		info, err := in.Stat()
		if err != nil {
			return err
		}
		out, err := os.OpenFile(filepath.Join(t.dir, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, info.Mode().Perm())
		if err != nil {
			return err
		}
		_, err = io.Copy(out, in)
		return errors.Join(err, out.Close())
	})
}

// busybox puts it there with a link for each of its applets.
func (t *tree) busybox(from string) {
	t.copy("bin/busybox", from)
	t.do(func() error {
		applets, err := exec.Command(from, "--list").Output()
		if err != nil {
			return fmt.Errorf("listing the applets of %s: %w", from, err)
		}
		for _, applet := range strings.Fields(string(applets)) {
			link := filepath.Join(t.dir, "bin", applet)
			if err := os.Symlink("busybox", link); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
		}
		return nil
	})
}

// modules puts the files of modules there, and their order for the script that loads them.
func (t *tree) modules(index moduleIndex, names []string) {
	t.do(func() error {
		files, err := index.inOrder(names)
		if err != nil {
			return err
		}
		var order strings.Builder
		for _, file := range files {
			t.copy("modules/"+filepath.Base(file), file)
			fmt.Fprintln(&order, filepath.Base(file))
		}
		t.write("modules/order", 0o644, []byte(order.String()))
		return t.err
	})
}

// program puts a program of this machine there with the shared libraries it loads.
func (t *tree) program(name string) {
	t.do(func() error {
		path, err := exec.LookPath(name)
		if err == nil {
			t.binary(path, path)
		}
		return errors.Join(err, t.err)
	})
}

// binary puts a dynamically linked program there with its libraries.
func (t *tree) binary(name, from string) {
	t.copy(name, from)
	t.do(func() error {
		out, err := exec.Command("ldd", from).Output()
		if err != nil {
			return fmt.Errorf("the libraries of %s: %w", from, err)
		}
		for _, field := range strings.Fields(string(out)) {
			if _, err := os.Stat(filepath.Join(t.dir, field)); strings.HasPrefix(field, "/") && err != nil {
				t.copy(field, field)
			}
		}
		return t.err
	})
}

// makeDisk makes a sparse ext4 filesystem with the content of a directory. It lives as
// long as one run, so it needs no journal.
func makeDisk(ctx context.Context, file, dir string) error {
	if err := sparse(file, diskSize); err != nil {
		return err
	}
	return run(ctx, filepath.Dir(file), "mkfs.ext4", "-q", "-F", "-O", "^has_journal", "-d", dir, file)
}

func sparse(file string, size int64) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(size), f.Close())
}
