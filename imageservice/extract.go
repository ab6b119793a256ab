package imageservice

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/pkg/archive"

	"github.com/berth-run/berth/internal/budget"
)

// whiteout is what the names of files begin with that hide others, opaque that of a file which hides all
// that is below (OCI image-spec, layer.md).
const (
	whiteout = ".wh."
	opaque   = ".wh..wh..opq"
)

// extract writes an uncompressed layer into the directory.
func (d layerDir) extract(ctx context.Context, r io.Reader) error {
	var opts []archive.ApplyOpt
	if len(d.parents) > 0 {
		opts = append(opts, archive.WithParents(d.parents))
	}
	if d.overlay {
		opts = append(opts, archive.WithConvertWhiteout(archive.OverlayConvertWhiteout))
		if len(d.parents) > 0 || d.implied == nil {
			return d.unpackTar(ctx, r, nil, opts...)
		}
		i := newImplication(d.path)
		err := d.unpackTar(ctx, r, i, opts...)
		d.implied.note(d.path, i.list())
		return err
	}
	bare, err := isEmpty(d.path)
	if err != nil {
		return err
	}
	if bare {
		return d.unpackTar(ctx, r, nil, append(opts, archive.WithConvertWhiteout(hidesNothing))...)
	}
	// What is hidden here is removed, and for that containerd has to know all that is new.
	a := &admission{room: d.room}
	admit := func(hdr *tar.Header) (bool, error) { return true, errors.Join(a.admit(hdr), a.keep()) }
	_, err = archive.Apply(ctx, d.path, r, append(opts, archive.WithFilter(admit))...)
	return err
}

// admission bounds what the entries of one layer may cost.
type admission struct {
	room *layerAllowance
	kept int
}

// admit refuses an entry that costs more than an entry may, or for which there is no room.
func (a *admission) admit(hdr *tar.Header) error {
	if err := checkDepth(hdr); err != nil {
		return err
	}
	return a.room.charge(hdr)
}

// keep counts an entry that is remembered until the layer is unpacked.
func (a *admission) keep() error {
	if a.kept++; a.kept > budget.LayerKept {
		return fmt.Errorf("the layer has more than %d entries that have to be remembered while it is unpacked, directories above all", budget.LayerKept)
	}
	return nil
}

// isEmpty reports whether a directory has no entry.
func isEmpty(path string) (bool, error) {
	dir, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer dir.Close()
	if _, err = dir.Readdirnames(1); errors.Is(err, io.EOF) {
		return true, nil
	}
	return false, err
}

// hidesNothing converts the whiteouts of a layer with nothing below: an opaque directory has
// nothing to hide, and a file can only be one of the layer itself. containerd's own conversion would
// also remove directories that have no entry in the archive, with what was unpacked there.
func hidesNothing(_ *tar.Header, path string) (bool, error) {
	dir, base := filepath.Split(path)
	hidden, is := strings.CutPrefix(base, whiteout)
	switch {
	case base == opaque:
		return false, nil
	case is:
		return false, os.RemoveAll(filepath.Join(dir, hidden))
	}
	return true, nil
}

// unpackTar writes the entries of an archive into a layer's directory. If i is not nil it is told of them.
func (d layerDir) unpackTar(ctx context.Context, r io.Reader, i *implication, opts ...archive.ApplyOpt) error {
	stream := &tarStream{r: r}
	files, err := newSmallFiles(d.path, stream)
	if err != nil {
		return err
	}
	defer files.close()
	a := &admission{room: d.room}
	filter := func(hdr *tar.Header) (bool, error) {
		err := a.admit(hdr)
		if err == nil && hdr.Typeflag == tar.TypeDir {
			err = a.keep()
		}
		if err != nil {
			return false, err
		}
		if i != nil {
			if err := i.see(hdr); err != nil {
				return false, err
			}
		}
		return files.filter(hdr)
	}
	_, err = archive.Apply(ctx, d.path, stream, append(opts, archive.WithFilter(filter))...)
	return err
}

// checkDepth refuses an entry whose names have more components than a layer may ask this node to walk.
func checkDepth(hdr *tar.Header) error {
	for _, name := range []string{hdr.Name, hdr.Linkname} {
		if strings.Count(name, "/") >= budget.PathDepth {
			return fmt.Errorf("the name of an entry has more than %d components, it begins with %.40q", budget.PathDepth, name)
		}
	}
	return nil
}
