package imageservice

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"github.com/berth-run/berth/internal/budget"
)

// streamWindow is how many bytes of a layer may wait between download and
// unpacking. Nobody waits for room before the unpacking has begun: the stream is
// given up then, and the layer is read from the content store later.
const streamWindow = 4 << 20

// errSpoiled ends a stream whose bytes turned out to be wrong or incomplete, or
// that its reader closed.
var errSpoiled = errors.New("the stream was given up")

// layerStream passes the bytes of a layer from its download to its unpacking
// while they arrive, and tells when the download is done. A nil stream takes
// bytes and drops them.
type layerStream struct {
	mu       sync.Mutex
	changed  *sync.Cond
	chunks   []chunk       // not read yet
	size     int           // of chunks
	all      *streamMemory // that of all streams; nil for a stream of its own
	complete bool          // all bytes were written
	spoiled  bool
	reader   bool // somebody reads
	closed   bool // nobody reads any more

	done chan struct{} // the download ended
	err  error         // how; valid after done
}

// streamMemory is what waits in all streams of a service, in bytes: pulls that stall are not
// counted among those that work at once, so their number does not bound it.
type streamMemory struct{ atomic.Int64 }

func (m *streamMemory) add(n int) {
	if m != nil {
		m.Add(int64(n))
	}
}

// window is how many bytes may wait in one stream now.
func (m *streamMemory) window() int {
	if m != nil && m.Load() > budget.LayersOnTheWay {
		return chunkSize
	}
	return streamWindow
}

func newLayerStream() *layerStream {
	s := &layerStream{done: make(chan struct{})}
	s.changed = sync.NewCond(&s.mu)
	return s
}

// write hands over bytes, waiting for room when there is a reader. It returns
// early when ctx ends.
func (s *layerStream) write(ctx context.Context, b []byte) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.spoiled || s.closed {
		return
	}
	window := s.all.window()
	if s.size+len(b) > window {
		if !s.reader {
			s.spoilLocked()
			return
		}
		stop := context.AfterFunc(ctx, s.wake)
		defer stop()
		for s.size > 0 && s.size+len(b) > window && !s.closed && ctx.Err() == nil {
			s.changed.Wait()
		}
	}
	if s.closed || ctx.Err() != nil {
		return
	}
	s.size += len(b)
	s.all.add(len(b))
	s.addLocked(b)
	s.changed.Broadcast()
}

// spoil gives the stream up; what was read of it must not be used.
func (s *layerStream) spoil() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spoilLocked()
}

func (s *layerStream) spoilLocked() {
	s.spoiled = true
	s.dropLocked()
	s.changed.Broadcast()
}

// finish says how the download ended. Without an error the layer is in the
// content store now.
func (s *layerStream) finish(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
	if err != nil {
		s.spoilLocked()
	}
	s.complete = true
	s.changed.Broadcast()
	close(s.done)
}

// wait waits until the download ended and returns how.
func (s *layerStream) wait(ctx context.Context) error {
	select {
	case <-s.done:
		return s.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// intact reports whether a reader got the bytes of the layer and nothing else.
func (s *layerStream) intact() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.spoiled
}

func (s *layerStream) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed.Broadcast()
}

// attach returns a reader of the whole layer, or nil when it is too late for it.
// idle is called before the reader waits for bytes, and busy after, with the
// chance to fail.
func (s *layerStream) attach(ctx context.Context, idle func(), busy func() error) *streamReader {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.spoiled || s.reader {
		return nil
	}
	s.reader = true
	return &streamReader{s: s, ctx: ctx, idle: idle, busy: busy}
}

// streamReader reads a layerStream.
type streamReader struct {
	s    *layerStream
	ctx  context.Context
	cur  chunk // that rest is of
	rest []byte
	idle func()
	busy func() error
}

// Read implements io.Reader.
func (r *streamReader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		if err := r.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// next takes the next chunk, waiting for it.
func (r *streamReader) next() error {
	s := r.s
	s.mu.Lock()
	if s.emptyLocked() {
		r.idle()
		stop := context.AfterFunc(r.ctx, s.wake)
		for s.emptyLocked() && r.ctx.Err() == nil {
			s.changed.Wait()
		}
		stop()
		s.mu.Unlock()
		if err := r.busy(); err != nil {
			return err
		}
		s.mu.Lock()
	}
	defer s.mu.Unlock()
	switch {
	case r.ctx.Err() != nil:
		return context.Cause(r.ctx)
	case s.spoiled, s.closed:
		return errSpoiled
	case len(s.chunks) > 0:
		r.cur.free()
		r.cur, s.chunks = s.chunks[0], s.chunks[1:]
		r.rest = r.cur.mem[:r.cur.n]
		s.size -= len(r.rest)
		s.all.add(-len(r.rest))
		s.changed.Broadcast()
		return nil
	}
	r.cur.free()
	return io.EOF
}

// emptyLocked reports whether there is nothing to tell a reader yet.
func (s *layerStream) emptyLocked() bool {
	return len(s.chunks) == 0 && !s.complete && !s.spoiled && !s.closed
}

// Close lets the writer go on without a reader.
func (r *streamReader) Close() error {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	r.s.closed = true
	r.s.dropLocked()
	r.s.changed.Broadcast()
	return nil
}
