package imageservice

import "io"

// Sizes of the buffers between one stage of unpacking and the next.
const (
	aheadBuffers = 4
	aheadSize    = 128 << 10
)

// readAhead reads from another reader in a goroutine of its own.
type readAhead struct {
	full  chan aheadBuffer
	free  chan []byte
	stop  chan struct{}
	ended chan struct{}
	cur   aheadBuffer
	rest  []byte
}

type aheadBuffer struct {
	mem  []byte
	data []byte
	err  error
}

func newReadAhead(r io.Reader) *readAhead {
	a := &readAhead{
		full: make(chan aheadBuffer, aheadBuffers), free: make(chan []byte, aheadBuffers),
		stop: make(chan struct{}), ended: make(chan struct{}),
	}
	for range aheadBuffers {
		a.free <- make([]byte, aheadSize)
	}
	go a.run(r)
	return a
}

func (a *readAhead) run(r io.Reader) {
	defer close(a.ended)
	for {
		var mem []byte
		select {
		case mem = <-a.free:
		case <-a.stop:
			return
		}
		n, err := io.ReadFull(r, mem)
		if err == io.ErrUnexpectedEOF && n > 0 {
			err = nil // the next read tells whether it is the end
		}
		// There are as many places as buffers: this never waits.
		a.full <- aheadBuffer{mem: mem, data: mem[:n], err: err}
		if err != nil {
			return
		}
	}
}

// Read implements io.Reader.
func (a *readAhead) Read(p []byte) (int, error) {
	for len(a.rest) == 0 {
		if a.cur.err != nil {
			return 0, a.cur.err
		}
		if a.cur.mem != nil {
			a.free <- a.cur.mem
		}
		a.cur = <-a.full
		a.rest = a.cur.data
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

// Close ends the goroutine and waits for it; the reader below has to return.
func (a *readAhead) Close() {
	close(a.stop)
	<-a.ended
}
