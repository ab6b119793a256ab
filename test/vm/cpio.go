package vm

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// writeInitramfs packs a directory in the one format that the kernel unpacks, cpio's
// "newc". Nothing but directories, regular files and symbolic links is in it.
func writeInitramfs(file, dir string) error {
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	defer out.Close()
	c := &cpio{w: bufio.NewWriter(out)}
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		return c.add(dir, path, e)
	})
	if err != nil {
		return fmt.Errorf("packing %s: %w", dir, err)
	}
	c.entry("TRAILER!!!", 0, nil)
	if err := c.w.Flush(); err != nil {
		return err
	}
	return out.Close()
}

// cpio writes entries; errors stay in the buffered writer until Flush.
type cpio struct {
	w     *bufio.Writer
	inode int
	size  int
}

func (c *cpio) add(dir, path string, e fs.DirEntry) error {
	info, err := e.Info()
	if err != nil {
		return err
	}
	name, err := filepath.Rel(dir, path)
	if err != nil {
		return err
	}
	mode, body := uint32(info.Mode().Perm()), []byte(nil)
	switch info.Mode().Type() {
	case fs.ModeDir:
		mode |= 0o040000
	case fs.ModeSymlink:
		mode |= 0o120000
		target, err := os.Readlink(path)
		if err != nil {
			return err
		}
		body = []byte(target)
	case 0:
		mode |= 0o100000
		if body, err = os.ReadFile(path); err != nil {
			return err
		}
	default:
		return fmt.Errorf("%s is no directory, file or symbolic link", path)
	}
	c.entry(name, mode, body)
	return nil
}

// entry writes the 13 hexadecimal fields of the header, the name and the body; the latter
// two are padded to multiples of four.
func (c *cpio) entry(name string, mode uint32, body []byte) {
	c.inode++
	c.write(fmt.Appendf(nil, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
		c.inode, mode, 0, 0, 1, 0, len(body), 0, 0, 0, 0, len(name)+1, 0, name))
	c.pad()
	c.write(body)
	c.pad()
}

func (c *cpio) write(b []byte) {
	_, _ = c.w.Write(b)
	c.size += len(b)
}

func (c *cpio) pad() {
	for c.size%4 != 0 {
		c.write([]byte{0})
	}
}
