package imageservice

import "sync"

// chunkSize is as much as a download reads at once at most.
const chunkSize = 256 << 10

// chunk is a piece of a layer on its way, in memory that is used again: a pull would
// leave as much garbage as the image is large.
type chunk struct {
	mem *[chunkSize]byte // nil for none
	n   int
}

var chunkMemory = sync.Pool{New: func() any { return new([chunkSize]byte) }}

// free gives the memory back; nobody may look at it any more.
func (c *chunk) free() {
	if c.mem != nil {
		chunkMemory.Put(c.mem)
		c.mem = nil
	}
}

// addLocked appends bytes, filling up what is begun.
func (s *layerStream) addLocked(b []byte) {
	for len(b) > 0 {
		if last := len(s.chunks) - 1; last < 0 || s.chunks[last].n == chunkSize {
			s.chunks = append(s.chunks, chunk{mem: chunkMemory.Get().(*[chunkSize]byte)})
		}
		last := &s.chunks[len(s.chunks)-1]
		n := copy(last.mem[last.n:], b)
		last.n += n
		b = b[n:]
	}
}

func (s *layerStream) dropLocked() {
	for i := range s.chunks {
		s.chunks[i].free()
	}
	s.all.add(-s.size)
	s.chunks, s.size = nil, 0
}
