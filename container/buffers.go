package container

import (
	"bytes"
	"io"
	"sync"
)

// cappedBuffer keeps the first limit bytes and drops the rest, so that a command
// with endless output costs no endless memory.
type cappedBuffer struct {
	mu    sync.Mutex
	buf   bytes.Buffer
	limit int
}

// Write implements io.Writer; it always takes everything.
func (b *cappedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if room := b.limit - b.buf.Len(); room > 0 {
		b.buf.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

// Close implements io.Closer.
func (b *cappedBuffer) Close() error { return nil }

// Bytes is a copy of what was kept.
func (b *cappedBuffer) Bytes() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Clone(b.buf.Bytes())
}

// closingReader calls closed once when the reader has ended.
type closingReader struct {
	io.Reader
	closed func()
	once   sync.Once
}

// Read implements io.Reader.
func (r *closingReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil {
		r.once.Do(func() { go r.closed() })
	}
	return n, err
}
