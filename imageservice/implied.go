package imageservice

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/continuity/fs"
	"github.com/containerd/continuity/sysx"
	"golang.org/x/sys/unix"
)

// impliedDirs are directories in which a layer has something, without an entry of their own: some tools
// leave those out where the image has the directory already. In the image they are to look as they do
// below, or a /tmp would be root's. But layers are unpacked side by side, and what is below may come later:
// so they are remembered by the layer's directory, and completed when the layer is put on its parent.
type impliedDirs struct {
	mu sync.Mutex
	of map[string][]string // relative paths, a directory before those in it, by the layer's directory
}

// note remembers what a layer implies.
func (d *impliedDirs) note(layer string, dirs []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.of == nil {
		d.of = map[string][]string{}
	}
	d.of[layer] = dirs
}

// take returns what a layer implies, and forgets it.
func (d *impliedDirs) take(layer string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	dirs := d.of[layer]
	delete(d.of, layer)
	return dirs
}

func (d *impliedDirs) none() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.of) == 0
}

// complete gives directories of an active snapshot the owner, mode and extended attributes that they
// have in its parent to be, as containerd does when it unpacks one layer after the other.
func (d *impliedDirs) complete(ctx context.Context, sn snapshots.Snapshotter, key, parent string) error {
	if parent == "" || d.none() {
		return nil
	}
	mounts, err := sn.Mounts(ctx, key)
	if err != nil {
		return err
	}
	layer, ok := layerDirOf(mounts)
	if !ok {
		return nil
	}
	dirs := d.take(layer.path)
	if len(dirs) == 0 {
		return nil
	}
	view := key + "-below"
	if mounts, err = sn.View(ctx, view, parent); err != nil {
		return fmt.Errorf("looking at what is below layer %s: %w", key, err)
	}
	below := lowerDirs(mounts)
	for _, dir := range dirs {
		if err = inherit(filepath.Join(layer.path, dir), dir, below); err != nil {
			err = fmt.Errorf("completing directory /%s of layer %s: %w", dir, key, err)
			break
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	return errors.Join(err, sn.Remove(ctx, view))
}

// lowerDirs are the directories of a snapshot that is only looked at, the uppermost first.
func lowerDirs(mounts []mount.Mount) []string {
	if len(mounts) != 1 {
		return nil
	}
	if m := mounts[0]; m.Type != "overlay" {
		return []string{m.Source}
	}
	return parentsIn(mounts[0].Options)
}

// inherit makes a directory look as the uppermost one of that name below, if there is one.
func inherit(path, name string, below []string) error {
	if info, err := os.Lstat(path); err != nil || !info.IsDir() {
		return nil // replaced by a later entry, or never made
	}
	for _, root := range below {
		from, err := fs.RootPath(root, name)
		if err != nil {
			return err
		}
		info, err := os.Lstat(from)
		switch {
		case errors.Is(err, unix.ENOENT):
			continue
		case errors.Is(err, unix.ENOTDIR), err == nil && !info.IsDir():
			return nil // something else hides what is further below
		case err != nil:
			return err
		}
		return copyAttributes(path, from, info)
	}
	return nil
}

// copyAttributes copies what a directory has besides its entries and times.
func copyAttributes(to, from string, info os.FileInfo) error {
	st := info.Sys().(*syscall.Stat_t)
	if err := os.Lchown(to, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	if err := os.Chmod(to, info.Mode()); err != nil { // after the change of owner, which takes bits from it
		return err
	}
	names, err := sysx.LListxattr(from)
	if errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	if err != nil {
		return &os.PathError{Op: "listxattr", Path: from, Err: err}
	}
	for _, name := range names {
		if strings.HasPrefix(name, "trusted.") { // overlayfs's
			continue
		}
		value, err := sysx.LGetxattr(from, name)
		if err == nil {
			err = sysx.LSetxattr(to, name, value, 0)
		}
		if err != nil {
			return &os.PathError{Op: "copying attribute " + name, Path: from, Err: err}
		}
	}
	return nil
}

// implication finds out what a layer implies while it is unpacked.
type implication struct {
	root string
	// dir is that of the last entry, as the archive names it, and path where it is.
	dir, path string
	dirs      map[string]bool // by path
}

func newImplication(root string) *implication {
	return &implication{root: root, path: root, dirs: map[string]bool{}}
}

// see is told of each entry before it is unpacked. Its name is clean.
func (i *implication) see(hdr *tar.Header) error {
	dir, base := filepath.Split(hdr.Name)
	if dir != i.dir {
		path, err := fs.RootPath(i.root, dir)
		if err != nil {
			return err
		}
		i.dir, i.path = dir, path
		for ; len(path) > len(i.root); path = filepath.Dir(path) {
			if _, err := os.Lstat(path); err == nil {
				break
			}
			i.dirs[path] = true
		}
	}
	if hdr.Typeflag == tar.TypeDir {
		delete(i.dirs, filepath.Join(i.path, base))
	}
	return nil
}

// list has the relative paths, a directory before those in it.
func (i *implication) list() []string {
	var out []string
	for path := range i.dirs {
		out = append(out, strings.TrimPrefix(path, i.root+"/"))
	}
	slices.Sort(out)
	return out
}
