package metrics

import (
	"bytes"
	"context"
	"encoding/binary"
	"hash/crc32"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/flate"
)

// deflated is compressed data with what gzip must know of its origin.
type deflated struct {
	data      []byte
	crc, size uint32
}

// compressors are reused: each has tables of half a megabyte.
var compressors sync.Pool

// deflate compresses what write writes. The last part of several ends the data; any other ends
// on a byte's border, so that the next can follow it.
func deflate(room int, last bool, write func(io.Writer) error) (*deflated, error) {
	out := bytes.NewBuffer(make([]byte, 0, room))
	z, ok := compressors.Get().(*flate.Writer)
	if ok {
		z.Reset(out)
	} else {
		var err error
		if z, err = flate.NewWriter(out, flate.BestSpeed); err != nil {
			return nil, err
		}
	}
	defer func() {
		z.Reset(io.Discard) // or it would keep the data
		compressors.Put(z)
	}()
	d := &deflated{}
	err := write(writerFunc(func(b []byte) (int, error) {
		d.crc, d.size = crc32.Update(d.crc, crc32.IEEETable, b), d.size+uint32(len(b))
		return z.Write(b)
	}))
	if err != nil {
		return nil, err
	}
	end := z.Flush
	if last {
		end = z.Close
	}
	if err := end(); err != nil {
		return nil, err
	}
	d.data = out.Bytes()
	return d, nil
}

type writerFunc func([]byte) (int, error)

// Write implements io.Writer.
func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// lastDeflated is how long the last pass was: what the next one gets room for.
var lastDeflated atomic.Int64

// deflate encodes and compresses a pass, once for all who ask within keep.
func (p *pass) deflate(f form, families []family, keep time.Duration) (*deflated, error) {
	p.rendered.mu.Lock()
	defer p.rendered.mu.Unlock()
	if d := p.rendered.gz[f]; d != nil {
		return d, nil
	}
	last := lastDeflated.Load()
	d, err := deflate(int(last+last/16), false, func(w io.Writer) error { return p.encode(w, families, f.encoder()) })
	if err != nil {
		return nil, err
	}
	lastDeflated.Store(int64(len(d.data)))
	if p.rendered.gz == nil {
		p.rendered.gz = map[form]*deflated{}
	}
	p.rendered.gz[f] = d
	p.drop(keep)
	return d, nil
}

// compressed writes one gzip member out of two parts that were deflated apart.
func (e *exposition) compressed(ctx context.Context, w io.Writer, f form, own registryPart) error {
	first := &deflated{}
	if s := e.m.sampler; s != nil {
		var err error
		if first, err = s.sample(ctx, everything).deflate(f, s.families, s.opts.MaxAge); err != nil {
			return err
		}
	}
	header := []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255} // fastest algorithm, unknown OS
	var trailer [8]byte
	binary.LittleEndian.PutUint32(trailer[:], crc32.Update(first.crc, crc32.IEEETable, own.text))
	binary.LittleEndian.PutUint32(trailer[4:], first.size+own.packed.size)
	for _, part := range [][]byte{header, first.data, own.packed.data, trailer[:]} {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	return nil
}
