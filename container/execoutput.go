package container

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/berth-run/berth/internal/budget"
)

// outputRoom is what is left of budget.ExecOutputs, in bytes.
type outputRoom struct{ left atomic.Int64 }

func newOutputRoom(size int64) *outputRoom {
	r := &outputRoom{}
	r.left.Store(size)
	return r
}

// take reports whether there was room for n bytes, which is taken then. It never waits.
func (r *outputRoom) take(n int64) bool {
	if r.left.Add(-n) >= 0 {
		return true
	}
	r.left.Add(n)
	return false
}

func (r *outputRoom) give(n int64) { r.left.Add(n) }

// Output is what a command of ExecSync wrote, as far as there was room to keep it. It grows in pieces
// of equal size, which are never copied.
type Output struct {
	// Stdout and Stderr are for the command's writers.
	Stdout, Stderr outputStream

	mu       sync.Mutex
	shared   *outputRoom
	borrowed int64 // of shared
	left     int   // of budget.ExecAnswer
	closed   bool
}

// outputStream is one of the two streams of an Output. Its pieces may be read once the Output is closed.
type outputStream struct {
	of     *Output
	limit  int
	pieces [][]byte
	kept   int
	missed int64
}

// firstPiece and nextPiece are the sizes of pieces in bytes. Most commands write next to nothing.
const firstPiece, nextPiece = 4 << 10, 64 << 10

// newOutput keeps at most limit bytes of each stream.
func newOutput(limit int, shared *outputRoom) *Output {
	o := &Output{shared: shared, left: budget.ExecAnswer}
	o.Stdout = outputStream{of: o, limit: limit}
	o.Stderr = outputStream{of: o, limit: limit}
	return o
}

// Write implements io.Writer. It always takes everything, so that the command goes on.
func (s *outputStream) Write(p []byte) (int, error) {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	rest := p
	for len(rest) > 0 && !s.of.closed {
		n := s.keep(rest)
		if n == 0 {
			s.missed += int64(len(rest))
			break
		}
		rest = rest[n:]
	}
	return len(p), nil
}

// Close implements io.Closer.
func (s *outputStream) Close() error { return nil }

// keep appends the beginning of p and says how much it took, 0 when there is no room.
func (s *outputStream) keep(p []byte) int {
	if s.missed > 0 {
		return 0 // what is kept has no gaps
	}
	p = p[:min(len(p), s.limit-s.kept, s.of.left)]
	if len(p) == 0 {
		return 0
	}
	last := len(s.pieces) - 1
	if last < 0 || len(s.pieces[last]) == cap(s.pieces[last]) {
		if !s.grow() {
			return 0
		}
		last++
	}
	piece := s.pieces[last]
	n := min(len(p), cap(piece)-len(piece))
	s.pieces[last] = append(piece, p[:n]...)
	s.kept += n
	s.of.left -= n
	return n
}

// grow adds an empty piece; it reports whether there is room for one.
func (s *outputStream) grow() bool {
	size := nextPiece
	if len(s.pieces) == 0 {
		size = firstPiece
	}
	if s.kept+size > budget.ExecOwn {
		if !s.of.shared.take(int64(size)) {
			return false
		}
		s.of.borrowed += int64(size)
	}
	s.pieces = append(s.pieces, make([]byte, 0, size))
	return true
}

// close ends writing: what a child of the command writes from now on is dropped. Where output is
// missing, stderr says so at its end.
func (o *Output) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return
	}
	o.closed = true
	if o.Stdout.missed == 0 && o.Stderr.missed == 0 {
		return
	}
	note := fmt.Sprintf("\nberthd: output was cut off: %d bytes of stdout and %d of stderr are missing "+
		"(see container.exec_max_output)\n", o.Stdout.missed, o.Stderr.missed)
	o.Stderr.pieces = append(o.Stderr.pieces, []byte(note))
	o.Stderr.kept += len(note)
}

// Release gives back the room that the output took. It must be called once, when the output is
// not needed any more.
func (o *Output) Release() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.shared.give(o.borrowed)
	o.borrowed, o.Stdout.pieces, o.Stderr.pieces = 0, nil, nil
}

// Len is how many bytes were kept.
func (s *outputStream) Len() int { return s.kept }

// AppendTo appends what was kept to b.
func (s *outputStream) AppendTo(b []byte) []byte {
	for _, p := range s.pieces {
		b = append(b, p...)
	}
	return b
}

var _ io.WriteCloser = (*outputStream)(nil)
