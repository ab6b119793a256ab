package imageservice

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/berth-run/berth/internal/inside"
)

// inherit gives directories of a layer the attributes that the uppermost directory of the same name has
// below. The content of all of them is foreign: an entry that came after a directory was noted may
// have put a link in its place or above it, so that each is opened from the top of its layer and changed
// through its descriptor. dirs are relative paths, a directory before those in it.
func inherit(ctx context.Context, layer string, dirs, below []string) error {
	top, err := inside.Top(layer)
	if err != nil {
		return err
	}
	defer top.Close()
	lower, err := openLower(below)
	defer lower.close()
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := lower.complete(top, dir); err != nil {
			return fmt.Errorf("directory /%s: %w", dir, err)
		}
	}
	return nil
}

// lowerLayer is a layer below, and the last directory that it turned out not to have: then
// it has nothing in that directory either, and need not be asked.
type lowerLayer struct {
	top  *os.File
	gone string
}

// lowerLayers are the layers below, the uppermost first.
type lowerLayers []lowerLayer

func openLower(paths []string) (lowerLayers, error) {
	var out lowerLayers
	for _, path := range paths {
		top, err := inside.Top(path)
		if err != nil {
			return out, err
		}
		out = append(out, lowerLayer{top: top})
	}
	return out, nil
}

func (l lowerLayers) close() {
	for _, layer := range l {
		_ = layer.top.Close()
	}
}

// complete makes a directory look as it does below, if it is a directory here and there.
func (l lowerLayers) complete(top *os.File, dir string) error {
	to, err := inside.Beneath(top, dir)
	if replaced(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer to.Close()
	from, err := l.find(dir)
	if from == nil || err != nil {
		return err
	}
	defer from.Close()
	return inside.CopyAttributes(to, from)
}

// find opens the uppermost directory of a name; nil where no layer has one, or where something
// else of that name hides what is further below.
func (l lowerLayers) find(dir string) (*os.File, error) {
	for i := range l {
		if gone := l[i].gone; gone != "" && strings.HasPrefix(dir, gone+"/") {
			continue
		}
		f, err := inside.InRoot(l[i].top, dir)
		switch {
		case errors.Is(err, unix.ENOENT):
			l[i].gone = dir
			continue
		case errors.Is(err, unix.ENOTDIR):
			return nil, nil
		}
		return f, err
	}
	return nil, nil
}

// replaced reports whether opening a directory failed because a later entry of its layer took its
// place, or took that of a directory above it.
func replaced(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
}
