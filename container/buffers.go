package container

import (
	"io"
	"sync"
)

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
