package imageservice

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/moby/sys/userns"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// layerDir is a snapshot's directory that a layer can be extracted into without
// mounting anything.
type layerDir struct {
	path    string
	parents []string
	// overlay: whiteouts become the character devices and extended attributes
	// that overlayfs reads. The bottom layer hides nothing and has none.
	overlay bool
	// implied takes the directories that an overlay layer without parents implies; nil for nobody.
	implied *impliedDirs
	// room bounds what the layer takes on disk; nil is no bound.
	room *layerAllowance
}

// layerDirOf finds the directory behind the mounts of an active snapshot; false
// for snapshotters that need a mount, and where this process may not do it.
func layerDirOf(mounts []mount.Mount) (layerDir, bool) {
	if len(mounts) != 1 || userns.RunningInUserNS() {
		return layerDir{}, false
	}
	m := mounts[0]
	d := layerDir{}
	switch {
	case m.Type == "bind" && !slices.Contains(m.Options, "ro"):
		d.path = m.Source
	case m.Type == "overlay":
		d.overlay = true
		for _, o := range m.Options {
			if v, ok := strings.CutPrefix(o, "upperdir="); ok {
				d.path = v
			}
		}
		d.parents = parentsIn(m.Options)
	}
	// containerd may live in another mount namespace.
	info, err := os.Stat(d.path)
	return d, d.path != "" && err == nil && info.IsDir()
}

// parentsIn are the lower directories among the options of an overlay mount, the uppermost first.
func parentsIn(options []string) []string {
	for _, o := range options {
		if v, ok := strings.CutPrefix(o, "lowerdir="); ok {
			return strings.Split(v, ":")
		}
	}
	return nil
}

// empty removes what an extraction left that went wrong.
func (d layerDir) empty() error {
	dir, err := os.Open(d.path)
	if err != nil {
		return err
	}
	defer dir.Close()
	for {
		names, err := dir.Readdirnames(namesAtOnce)
		for _, name := range names {
			if err := os.RemoveAll(filepath.Join(d.path, name)); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// namesAtOnce is how many names of a directory are read at a time: a layer decides how many there are.
const namesAtOnce = 512

// readable reports whether this package can decompress layers of a media type;
// the others (encrypted ones) go through containerd's stream processors.
func readable(mediaType string) bool {
	return strings.Contains(mediaType, "tar") && !strings.Contains(mediaType, "encrypted")
}

// applyLayer decompresses r into the directory and returns the digest of what
// was in it (the diff_id).
func applyLayer(ctx context.Context, d layerDir, r io.ReadCloser, z *decoders) (ocispec.Descriptor, error) {
	var out ocispec.Descriptor
	plain, err := z.open(r)
	if err != nil {
		return out, err
	}
	defer plain.Close()
	digester := digest.Canonical.Digester()
	// Decompression runs ahead of the digest, and that of the extraction: each is as much as a
	// processor can do.
	unpacked := newReadAhead(plain)
	counted := &counter{r: io.TeeReader(d.room.archive(unpacked), digester.Hash())}
	ahead := newReadAhead(counted)
	err = d.extract(ctx, ahead)
	if err == nil {
		_, err = io.Copy(io.Discard, ahead) // the padding counts for the digest
	}
	if err != nil {
		_ = r.Close() // do not wait for bytes that nobody wants
	}
	ahead.Close()
	unpacked.Close()
	if err != nil {
		return out, err
	}
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Size: counted.n, Digest: digester.Digest()}, nil
}

type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
