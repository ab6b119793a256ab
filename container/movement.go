package container

import (
	"io"
	"sync/atomic"
)

// movement tells whether output is on its way to a client.
type movement struct {
	busy  atomic.Int32 // writes that the client has not taken yet
	count atomic.Int64 // bytes it has taken
}

// observedWriter notes what moves through it.
type observedWriter struct {
	io.Writer
	moved *movement
}

// Write implements io.Writer.
func (w *observedWriter) Write(b []byte) (int, error) {
	w.moved.busy.Add(1)
	defer w.moved.busy.Add(-1)
	n, err := w.Writer.Write(b)
	w.moved.count.Add(int64(n))
	return n, err
}
