package imageservice

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// maxZstdWindow is what zstd --long makes, in bytes. Twice as much is kept for a layer that is unpacked.
const maxZstdWindow = 128 << 20

// keptZstdWindow is the largest window, in bytes, that waits for the next layer: what zstd makes without --long
// or --ultra.
const keptZstdWindow = 8 << 20

// decoders decompress the layers of one pull. Those of zstd have windows of megabytes, which the next
// layer uses again.
type decoders struct {
	mu   sync.Mutex
	idle []*zstd.Decoder
}

// open finds the compression by the first bytes: media types of Docker's time do not
// say it reliably.
func (d *decoders) open(r io.Reader) (io.ReadCloser, error) {
	buf := bufio.NewReaderSize(r, 64<<10)
	magic, err := buf.Peek(4)
	if err != nil && err != io.EOF {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b, 0x08}):
		z, err := gzip.NewReader(buf)
		if err != nil {
			return nil, fmt.Errorf("gzip: %w", err)
		}
		return z, nil
	case isZstd(magic):
		z, err := d.zstd(buf, smallWindow(buf))
		if err != nil {
			return nil, fmt.Errorf("zstd: %w", err)
		}
		return z, nil
	}
	return io.NopCloser(buf), nil
}

// isZstd knows the first bytes of a frame, and those of one to skip.
func isZstd(magic []byte) bool {
	return bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}) ||
		len(magic) == 4 && magic[0]&0xf0 == 0x50 && bytes.Equal(magic[1:], []byte{0x2a, 0x4d, 0x18})
}

// smallWindow says that the window which the first frame asks for may be kept. A frame to skip says nothing of the
// next one.
func smallWindow(buf *bufio.Reader) bool {
	var h zstd.Header
	begin, _ := buf.Peek(zstd.HeaderMaxSize)
	return h.Decode(begin) == nil && !h.Skippable && h.WindowSize <= keptZstdWindow
}

func (d *decoders) zstd(r io.Reader, keep bool) (io.ReadCloser, error) {
	if !keep {
		z, err := newZstd(r)
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := len(d.idle); n > 0 {
		z := d.idle[n-1]
		d.idle = d.idle[:n-1]
		return &lent{z, d}, z.Reset(r)
	}
	z, err := newZstd(r)
	return &lent{z, d}, err
}

func newZstd(r io.Reader) (*zstd.Decoder, error) {
	// With the low memory of the default it moves a window of megabytes after each megabyte. Twice
	// the window is kept instead, so it is bounded. Checksums say nothing that the layer's digests do not.
	return zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(false),
		zstd.WithDecoderMaxWindow(maxZstdWindow), zstd.WithDecoderMaxMemory(2*maxZstdWindow), zstd.IgnoreChecksum(true))
}

// lent is a decoder that goes back when it is closed the first time.
type lent struct {
	*zstd.Decoder
	to *decoders // nil once it is back
}

// Close implements io.Closer. Nobody may read any more.
func (l *lent) Close() error {
	if l.to == nil {
		return nil
	}
	if err := l.Reset(nil); err != nil {
		return err
	}
	l.to.mu.Lock()
	defer l.to.mu.Unlock()
	l.to.idle = append(l.to.idle, l.Decoder)
	l.to = nil
	return nil
}
