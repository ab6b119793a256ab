package imageservice

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/berth-run/berth/internal/budget"
)

// imported imports an image with ctr, not unpacked.
func (n *node) imported(t *testing.T, ref string, img v1.Image) *Image {
	t.Helper()
	tag, err := name.NewTag(ref)
	check(t, err)
	file := filepath.Join(t.TempDir(), "i.tar")
	check(t, tarball.WriteToFile(file, tag, img))
	n.ctr("images", "import", "--no-unpack", file)
	eventually(t, "the imported image is listed", func() bool { return n.has(ref) })
	got, err := n.svc.Status(ref)
	check(t, err)
	return got
}

// TestImportedImagesAreBounded: the bounds of a pull hold for images that were not pulled.
func TestImportedImagesAreBounded(t *testing.T) {
	n := newNode(t, Options{MaxUnpackedSize: 1 << 20})
	deep, err := mutate.AppendLayers(empty.Image, layerOf(t, map[string][]byte{strings.Repeat("d/", 300) + "f": nil}))
	check(t, err)
	for _, tc := range []struct {
		name, want string
		img        v1.Image
	}{
		{"large", "image.max_unpacked_size", imageOf(t, 17, 3, 700<<10)},
		{"deep", "components", withPlatform(t, deep, "linux", runtime.GOARCH)},
	} {
		ref := "registry.example/" + tc.name + ":1"
		got := n.imported(t, ref, tc.img)
		if err := n.svc.EnsureUnpacked(t.Context(), got, ""); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", tc.name, err)
		}
		if _, err := n.client.SnapshotService("overlayfs").Stat(n.ctx, got.ChainID); !errdefs.IsNotFound(err) {
			t.Errorf("%s is unpacked: %v", tc.name, err)
		}
		n.ctr("images", "rm", "--sync", ref)
	}
	eventually(t, "the images are gone", func() bool { return len(n.svc.List(nil)) == 0 })
	n.clean()
}

// TestUnpackedByContainerdIsBounded: what containerd unpacks itself is looked at before.
func TestUnpackedByContainerdIsBounded(t *testing.T) {
	reg := newRegistry(t)
	n := newNode(t, Options{MaxUnpackedSize: 1 << 20, DisableStreaming: true})
	reg.push(t, "large:1", imageOf(t, 17, 3, 700<<10))
	if _, err := n.pull(reg.host() + "/large:1"); err == nil || !strings.Contains(err.Error(), "image.max_unpacked_size") {
		t.Errorf("got %v", err)
	}
	n.clean()
}

// TestKeptEntries: containerd's archive package remembers directories until a layer is unpacked, and everything where it
// has to know what is new. How many that are has a bound, which other entries do not count for.
func TestKeptEntries(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: files have owners")
	}
	a := &admission{}
	for range budget.LayerKept {
		check(t, a.keep())
	}
	if a.keep() == nil {
		t.Error("there is no bound")
	}
	raw := pack(t, packed{Header: tar.Header{Name: "d/", Typeflag: tar.TypeDir, Mode: 0o755}}, file("d/f", "1"), file("g", "2"))
	check(t, layerDir{path: t.TempDir(), overlay: true}.extract(t.Context(), bytes.NewReader(raw)))
}
