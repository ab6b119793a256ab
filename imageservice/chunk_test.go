package imageservice

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"testing"
)

// TestChunks: whatever the sizes of writes and reads, a layer comes out as it went in, while
// others use the same memory.
func TestChunks(t *testing.T) {
	for seed := range uint64(4) {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(seed, 1))
			layer := make([]byte, 3<<20+int(seed))
			for i := range layer {
				layer[i] = byte(rng.Uint32())
			}
			s := newLayerStream()
			r := s.attach(t.Context(), func() {}, func() error { return nil })
			go func() {
				for rest := layer; len(rest) > 0; {
					n := min(len(rest), 1+rng.IntN(2*chunkSize))
					s.write(context.Background(), rest[:n])
					rest = rest[n:]
				}
				s.finish(nil)
			}()
			got, err := io.ReadAll(r)
			if err != nil || !bytes.Equal(got, layer) || !s.intact() {
				t.Errorf("%d bytes of %d came, %v", len(got), len(layer), err)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestChunksDropped: what nobody reads any more is given back once.
func TestChunksDropped(t *testing.T) {
	s := newLayerStream()
	s.write(t.Context(), make([]byte, chunkSize+1))
	s.spoil()
	s.spoil()
	if len(s.chunks) != 0 || s.size != 0 {
		t.Errorf("%d chunks of %d bytes are left", len(s.chunks), s.size)
	}
}
