package images

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"runtime"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// epoch is the time of every file and image, so that digests do not depend on now.
var epoch = time.Unix(1_700_000_000, 0).UTC()

// File is an entry of a layer. The zero Type is a regular file.
type File struct {
	// Path is without a leading slash.
	Path string
	// Type is one of archive/tar's: TypeDir, TypeSymlink, TypeLink and so on.
	Type byte
	// Mode has the permissions, with set-user-ID (04000) and sticky (01000); 0 means
	// 0755 for directories and 0644 for the rest.
	Mode     int64
	UID, GID int
	// Link is the target of a symbolic or hard link.
	Link string
	Body []byte
}

// Spec says what an image is made of.
type Spec struct {
	// Base is what the layers are put on; nil for nothing.
	Base v1.Image
	// Layers are applied in order.
	Layers []v1.Layer
	// Config is the whole configuration; the one of Base is not inherited.
	Config v1.Config
	// Platform is the image's; nil for this machine's.
	Platform *v1.Platform
}

// Build makes an OCI image.
func Build(spec Spec) (v1.Image, error) {
	base := spec.Base
	if base == nil {
		base = mutate.MediaType(empty.Image, types.OCIManifestSchema1)
		base = mutate.ConfigMediaType(base, types.OCIConfigJSON)
	}
	img, err := mutate.AppendLayers(base, spec.Layers...)
	if err != nil {
		return nil, fmt.Errorf("appending layers: %w", err)
	}
	file, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	platform := spec.Platform
	if platform == nil {
		platform = &v1.Platform{OS: "linux", Architecture: runtime.GOARCH}
	}
	file.OS, file.Architecture, file.Variant = platform.OS, platform.Architecture, platform.Variant
	file.Created = v1.Time{Time: epoch}
	file.Config = spec.Config
	return mutate.ConfigFile(img, file)
}

// Layer makes an OCI layer, compressed with gzip unless options say otherwise.
func Layer(files []File, options ...tarball.LayerOption) (v1.Layer, error) {
	content, err := tarOf(files)
	if err != nil {
		return nil, err
	}
	opener := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }
	defaults := []tarball.LayerOption{
		tarball.WithMediaType(types.OCILayer), tarball.WithCompressionLevel(gzip.BestSpeed), tarball.WithCompressedCaching,
	}
	return tarball.LayerFromOpener(opener, append(defaults, options...)...)
}

func tarOf(files []File) ([]byte, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, f := range files {
		h := &tar.Header{
			Typeflag: f.Type, Name: f.Path, Linkname: f.Link, Mode: f.Mode, Uid: f.UID, Gid: f.GID,
			Size: int64(len(f.Body)), ModTime: epoch, Format: tar.FormatPAX,
		}
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if h.Mode == 0 {
			h.Mode = 0o644
			if h.Typeflag == tar.TypeDir {
				h.Mode = 0o755
			}
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, fmt.Errorf("layer entry %s: %w", f.Path, err)
		}
		if _, err := w.Write(f.Body); err != nil {
			return nil, fmt.Errorf("layer entry %s: %w", f.Path, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("closing the layer: %w", err)
	}
	return buf.Bytes(), nil
}
