package api

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/errdefs"
)

// The control protocol: a connection carries one request. The client sends a Request as one line of
// JSON, the shim answers with a Response as one line of JSON. After a successful OpWatch, lines of
// JSON with one Event each follow until either side closes; after a successful OpAttach, frames
// follow in both directions.

const (
	// MaxRequestBytes and MaxResponseBytes bound one line of JSON.
	MaxRequestBytes  = 16 << 10
	MaxResponseBytes = 4 << 20
	// MaxFrameBytes bounds the payload of one frame.
	MaxFrameBytes = 64 << 10
)

// Op names an operation of the control protocol.
type Op string

// The operations of ProtocolVersion 1.
const (
	OpStatus     Op = "status"
	OpWatch      Op = "watch"
	OpReopenLog  Op = "reopen-log"
	OpAttach     Op = "attach"
	OpResize     Op = "resize"
	OpCloseStdin Op = "close-stdin"
	OpForget     Op = "forget"
	OpAbandon    Op = "abandon"
	OpShutdown   Op = "shutdown"
)

// Request is what a client asks. Fields that an operation does not use are left out.
type Request struct {
	// Version is the client's ProtocolVersion.
	Version int `json:"version"`
	Op      Op  `json:"op"`
	// ID is the container's.
	ID string `json:"id,omitempty"`
	// Stdin, Stdout and Stderr choose the streams of an attach.
	Stdin  bool `json:"stdin,omitempty"`
	Stdout bool `json:"stdout,omitempty"`
	Stderr bool `json:"stderr,omitempty"`
	// Width and Height of a resize, in characters.
	Width  uint16 `json:"width,omitempty"`
	Height uint16 `json:"height,omitempty"`
	// Force a shutdown.
	Force bool `json:"force,omitempty"`
}

// Response answers a Request. Code is empty when it succeeded.
type Response struct {
	// Version is the shim's ProtocolVersion.
	Version int     `json:"version"`
	Code    Code    `json:"code,omitempty"`
	Message string  `json:"message,omitempty"`
	Status  *Status `json:"status,omitempty"`
}

// Code is the class of an error on the wire.
type Code string

// codes pairs the classes with their errdefs errors; the first that matches wins.
func codes() []struct {
	code Code
	err  error
} {
	return []struct {
		code Code
		err  error
	}{
		{"not-found", errdefs.ErrNotFound},
		{"invalid-argument", errdefs.ErrInvalidArgument},
		{"already-exists", errdefs.ErrAlreadyExists},
		{"failed-precondition", errdefs.ErrFailedPrecondition},
		{"resource-exhausted", errdefs.ErrResourceExhausted},
		{"not-implemented", errdefs.ErrNotImplemented},
		{"permission-denied", errdefs.ErrPermissionDenied},
		{"unavailable", errdefs.ErrUnavailable},
		{"internal", errdefs.ErrInternal},
	}
}

// ErrorCode classifies err for the wire.
func ErrorCode(err error) Code {
	for _, c := range codes() {
		if errors.Is(err, c.err) {
			return c.code
		}
	}
	return "internal"
}

// Err is the error that the response carries, nil when it succeeded.
func (r *Response) Err() error {
	if r.Code == "" {
		return nil
	}
	for _, c := range codes() {
		if c.code == r.Code {
			return fmt.Errorf("shim: %s: %w", r.Message, c.err)
		}
	}
	return fmt.Errorf("shim: %s: %w", r.Message, errdefs.ErrUnknown)
}

// ReadMessage reads one line of JSON of at most limit bytes into v.
func ReadMessage(r *bufio.Reader, limit int, v any) error {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > limit {
			return fmt.Errorf("message of more than %d bytes: %w", limit, errdefs.ErrInvalidArgument)
		}
		if err == nil {
			break
		}
		if err != bufio.ErrBufferFull {
			if err == io.EOF && len(line) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
	if err := json.Unmarshal(line, v); err != nil {
		return fmt.Errorf("malformed message: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	return nil
}

// AppendMessage appends v as one line of JSON.
func AppendMessage(b []byte, v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return b, err
	}
	return append(append(b, data...), '\n'), nil
}

// StreamID says what a frame carries.
type StreamID byte

// The streams of an attach.
const (
	// StreamStdin carries input to the container; an empty frame ends it.
	StreamStdin StreamID = iota
	// StreamStdout and StreamStderr carry the container's output; an empty frame ends a stream.
	StreamStdout
	StreamStderr
	// StreamEnd ends the attach; its payload is a Response, which says why.
	StreamEnd
)

// FrameHeaderBytes is a stream ID and the payload's length, big-endian.
const FrameHeaderBytes = 5

// AppendFrame appends one frame; p may have at most MaxFrameBytes.
func AppendFrame(b []byte, id StreamID, p []byte) []byte {
	b = append(b, byte(id))
	b = binary.BigEndian.AppendUint32(b, uint32(len(p)))
	return append(b, p...)
}

// ReadFrame reads one frame into buf, which is grown when it is too small, and returns the payload
// in it. io.EOF means that the other side closed between two frames.
func ReadFrame(r io.Reader, buf []byte) (StreamID, []byte, error) {
	var h [FrameHeaderBytes]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return 0, buf[:0], err
	}
	n := binary.BigEndian.Uint32(h[1:])
	if n > MaxFrameBytes {
		return 0, buf[:0], fmt.Errorf("frame of %d bytes, at most %d are allowed: %w", n, MaxFrameBytes, errdefs.ErrInvalidArgument)
	}
	if cap(buf) < int(n) {
		buf = make([]byte, n)
	}
	buf = buf[:n]
	if _, err := io.ReadFull(r, buf); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return 0, buf[:0], err
	}
	return StreamID(h[0]), buf, nil
}
