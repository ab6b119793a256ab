package imageservice

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// TestDecoders: layers of all kinds one after the other, the broken among them.
func TestDecoders(t *testing.T) {
	packed := func(content string) []byte {
		enc, err := zstd.NewWriter(nil)
		if err != nil {
			t.Fatal(err)
		}
		return enc.EncodeAll([]byte(content), nil)
	}
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	if _, err := io.WriteString(w, "zipped"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var wide bytes.Buffer
	enc, err := zstd.NewWriter(&wide, zstd.WithWindowSize(32<<20))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(enc, "in a large window"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(enc.Flush(), enc.Close()); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("a layer, ", 1<<20)
	skip := append([]byte{0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 'x'}, packed("after a frame to skip")...)
	d := &decoders{}
	for _, x := range []struct {
		in     []byte
		want   string
		broken bool
	}{
		{packed(long), long, false}, {packed("short"), "short", false}, {packed(long)[:200], "", true},
		{append(packed("a"), "no frame"...), "", true}, {packed("again"), "again", false}, {skip, "after a frame to skip", false},
		{wide.Bytes(), "in a large window", false}, {zipped.Bytes(), "zipped", false}, {[]byte("plain"), "plain", false}, {nil, "", false}, {[]byte("ab"), "ab", false},
	} {
		r, err := d.open(bytes.NewReader(x.in))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if (err != nil) != x.broken || !x.broken && string(got) != x.want {
			t.Errorf("%.20q became %.20q, %v", x.in, got, err)
		}
		if err := errors.Join(r.Close(), r.Close()); err != nil {
			t.Error(err)
		}
	}
	for name, x := range map[string]struct {
		in   []byte
		keep bool
	}{"as usual": {packed(long), true}, "large": {wide.Bytes(), false}, "behind a frame to skip": {skip, false}} {
		if got := smallWindow(bufio.NewReader(bytes.NewReader(x.in))); got != x.keep {
			t.Errorf("%s: kept %t", name, got)
		}
	}
	if len(d.idle) != 1 {
		t.Errorf("%d decoders of zstd, want one for all", len(d.idle))
	}
	if _, err := d.open(bytes.NewReader([]byte{0x1f, 0x8b, 0x08, 1})); err == nil {
		t.Error("half a header of gzip")
	}
}
