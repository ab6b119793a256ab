package imageservice

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"testing"
)

// TestAllowance: an image takes no more on disk than it may, whether in large files, in holes, or in entries
// without content; what a try took is there for the next one.
func TestAllowance(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: files have owners")
	}
	var many []packed
	for n := range 100 {
		many = append(many, file(strings.Repeat("f", n+1), ""))
	}
	for name, raw := range map[string][]byte{
		"large file": pack(t, file("f", strings.Repeat("x", 300_000))),
		"holes":      sparse(t),
		"entries":    pack(t, many...),
		"implied":    pack(t, file("a/"+strings.Repeat("d/", 30)+"f", ""), file("b/"+strings.Repeat("d/", 30)+"f", "")),
	} {
		size := int64(3 * diskBlock) // of the sparse one: two files of a block, one of two
		if name != "holes" {
			size = 200_000
		}
		all := &allowance{max: size}
		layer := all.layer()
		err := layerDir{path: t.TempDir(), overlay: true, room: layer}.extract(context.Background(), bytes.NewReader(raw))
		if err == nil || !strings.Contains(err.Error(), "image.max_unpacked_size") {
			t.Errorf("%s: %v", name, err)
		}
		layer.giveBack()
		if err := all.layer().charge(&tar.Header{Size: size - diskBlock}); err != nil {
			t.Errorf("%s: what was given back is not there: %v", name, err)
		}
		if err := all.layer().charge(&tar.Header{}); err == nil {
			t.Errorf("%s: one layer does not count for the other", name)
		}
	}
	huge := (&allowance{max: 1 << 40}).layer()
	if err := huge.charge(&tar.Header{Size: 1<<63 - 1}); err == nil {
		t.Error("the largest size that an entry can have fits")
	}
}

// TestUnpackedSize: the pull of an image that takes too much says so and leaves nothing.
func TestUnpackedSize(t *testing.T) {
	reg := newRegistry(t)
	n := newNode(t, Options{MaxUnpackedSize: 1 << 20})
	ref := reg.host() + "/large:1"
	reg.push(t, "large:1", imageOf(t, 17, 3, 700<<10))
	if _, err := n.pull(ref); err == nil || !strings.Contains(err.Error(), "image.max_unpacked_size") {
		t.Errorf("got %v", err)
	}
	n.clean()
}

// TestPadding: what follows the last entry of a layer takes nothing on disk, but time, and is bounded too.
func TestPadding(t *testing.T) {
	archive := pack(t, file("f", "x"))
	for padding, fits := range map[int]bool{20 * diskBlock: true, 200 * diskBlock: false} {
		raw := append(bytes.Clone(archive), make([]byte, padding)...)
		d := layerDir{path: t.TempDir(), overlay: true, room: (&allowance{max: 100 * diskBlock}).layer()}
		_, err := applyLayer(t.Context(), d, io.NopCloser(bytes.NewReader(raw)), &decoders{})
		if fits && err != nil || !fits && (err == nil || !strings.Contains(err.Error(), "image.max_unpacked_size")) {
			t.Errorf("%d bytes of padding: %v", padding, err)
		}
	}
}
