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

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/continuity/fs"
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
	if err = inherit(ctx, layer.path, dirs, lowerDirs(mounts)); err != nil {
		err = fmt.Errorf("completing layer %s: %w", key, err)
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
