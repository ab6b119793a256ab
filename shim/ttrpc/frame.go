package ttrpc

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/containerd/errdefs"
)

const (
	headerBytes = 10
	// maxMessage bounds a message, as containerd's implementation does.
	maxMessage = 4 << 20

	typeRequest  = 1
	typeResponse = 2
	// flagRemoteClosed reports whether nothing else will be sent on the stream.
	flagRemoteClosed = 1
)

type header struct {
	length, stream uint32
	kind, flags    byte
}

// readFrame reads one frame. With errdefs.ErrResourceExhausted the message was too long and has been
// skipped.
func readFrame(r io.Reader) (header, []byte, error) {
	var raw [headerBytes]byte
	if _, err := io.ReadFull(r, raw[:]); err != nil {
		return header{}, nil, err
	}
	h := header{
		length: binary.BigEndian.Uint32(raw[:4]), stream: binary.BigEndian.Uint32(raw[4:8]),
		kind: raw[8], flags: raw[9],
	}
	if h.length > maxMessage {
		if _, err := io.CopyN(io.Discard, r, int64(h.length)); err != nil {
			return h, nil, err
		}
		return h, nil, fmt.Errorf("message of %d bytes, at most %d are taken: %w", h.length, maxMessage, errdefs.ErrResourceExhausted)
	}
	p := make([]byte, h.length)
	if _, err := io.ReadFull(r, p); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return h, nil, err
	}
	return h, p, nil
}

// frame makes one frame out of what message appends.
func frame(stream uint32, kind, flags byte, message func([]byte) []byte) []byte {
	b := message(make([]byte, headerBytes, 128))
	binary.BigEndian.PutUint32(b[:4], uint32(len(b)-headerBytes))
	binary.BigEndian.PutUint32(b[4:8], stream)
	b[8], b[9] = kind, flags
	return b
}
