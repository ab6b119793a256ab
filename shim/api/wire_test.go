package api

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

func TestIOConfigTravels(t *testing.T) {
	for _, c := range []IOConfig{
		{},
		{LogPath: "/var/log/pods/a_b_c/ctr/0.log", StatusFile: "/run/berth/containers/x/status.json"},
		{LogPath: "/odd path/with?query&and=%41#hash/ü\n", Stdin: true, StdinOnce: true, MaxLineBytes: 4096},
		{LogPath: "/l", TTY: true, Stdin: true},
	} {
		got, ok, err := ParseIOConfig(c.URI())
		if !ok || err != nil || got != c {
			t.Errorf("%+v became %+v, %t, %v by way of %s", c, got, ok, err, c.URI())
		}
	}
}

func TestIOConfigIsChecked(t *testing.T) {
	for _, c := range []IOConfig{
		{LogPath: "relative"}, {LogPath: "/a/../b"}, {StatusFile: "x"}, {LogPath: "/a\x00"},
		{MaxLineBytes: 1}, {MaxLineBytes: MaxMaxLineBytes + 1}, {StdinOnce: true},
	} {
		if err := c.Validate(); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	for _, s := range []string{"", "/run/fifo", "fifo:///x", "binary:///x?y", "berth:/x"} {
		if _, ok, err := ParseIOConfig(s); ok || err != nil {
			t.Errorf("%q is taken for ours: %t, %v", s, ok, err)
		}
	}
	for _, s := range []string{"berth://%zz", "berth:///x?max-line=a", "berth:///x?max-line=1", "berth:///x/../y", "berth:///x?stdin-once=1"} {
		if _, ok, err := ParseIOConfig(s); !ok || !errdefs.IsInvalidArgument(err) {
			t.Errorf("%q: %t, %v", s, ok, err)
		}
	}
}

func TestErrorsTravel(t *testing.T) {
	for _, err := range []error{
		errdefs.ErrNotFound, errdefs.ErrInvalidArgument, errdefs.ErrAlreadyExists, errdefs.ErrFailedPrecondition,
		errdefs.ErrResourceExhausted, errdefs.ErrNotImplemented, errdefs.ErrPermissionDenied, errdefs.ErrUnavailable, errdefs.ErrInternal,
	} {
		r := Response{Code: ErrorCode(fmt.Errorf("wrapped: %w", err)), Message: "m"}
		if got := r.Err(); !errors.Is(got, err) {
			t.Errorf("%v became %v", err, got)
		}
	}
	if err := (&Response{Code: "from-the-future"}).Err(); !errors.Is(err, errdefs.ErrUnknown) {
		t.Errorf("unknown code: %v", err)
	}
	if err := (&Response{}).Err(); err != nil {
		t.Errorf("success: %v", err)
	}
}

func TestReadMessage(t *testing.T) {
	for name, tc := range map[string]struct {
		in   string
		want error
	}{
		"good":     {`{"version":1,"op":"status","from":"the future"}` + "\n", nil},
		"nothing":  {"", io.EOF},
		"cut":      {`{"version":1`, io.ErrUnexpectedEOF},
		"no JSON":  {"GET / HTTP/1.1\n", errdefs.ErrInvalidArgument},
		"too long": {strings.Repeat("x", 200), errdefs.ErrInvalidArgument},
		"type":     {`{"version":"1"}` + "\n", errdefs.ErrInvalidArgument},
	} {
		var r Request
		err := ReadMessage(bufio.NewReaderSize(strings.NewReader(tc.in), 16), 100, &r)
		if !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
		if err == nil && r.Op != OpStatus {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestFrames(t *testing.T) {
	var b []byte
	payloads := [][]byte{[]byte("out"), nil, bytes.Repeat([]byte{0xff}, MaxFrameBytes)}
	for i, p := range payloads {
		b = AppendFrame(b, StreamID(i), p)
	}
	r := bytes.NewReader(b)
	var buf []byte
	for i, want := range payloads {
		id, p, err := ReadFrame(r, buf)
		if err != nil || id != StreamID(i) || !bytes.Equal(p, want) {
			t.Fatalf("frame %d: id %d, %d bytes, %v", i, id, len(p), err)
		}
		buf = p
	}
	if _, _, err := ReadFrame(r, nil); err != io.EOF {
		t.Errorf("after the last frame: %v", err)
	}
	for name, in := range map[string][]byte{
		"cut header": {1, 0, 0}, "cut payload": {1, 0, 0, 0, 5, 'a'}, "no payload": {1, 0, 0, 0, 5},
	} {
		if _, _, err := ReadFrame(bytes.NewReader(in), nil); err != io.ErrUnexpectedEOF {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := ReadFrame(bytes.NewReader([]byte{1, 0xff, 0xff, 0xff, 0xff}), nil); !errdefs.IsInvalidArgument(err) {
		t.Errorf("huge frame: %v", err)
	}
}

func FuzzParseIOConfig(f *testing.F) {
	f.Add("berth:///var/log/x?status=/run/s&max-line=16384&stdin=1&stdin-once=1&tty=1")
	f.Add("/run/containerd/fifo/1/x-stdout")
	f.Fuzz(func(t *testing.T, s string) {
		c, ok, err := ParseIOConfig(s)
		if !ok || err != nil {
			return
		}
		again, ok, err := ParseIOConfig(c.URI())
		if !ok || err != nil || again != c {
			t.Errorf("%q: %+v, then %+v, %v", s, c, again, err)
		}
	})
}

func FuzzReadFrame(f *testing.F) {
	f.Add(AppendFrame(nil, StreamStdout, []byte("x")))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		var buf []byte
		for {
			_, p, err := ReadFrame(r, buf)
			if err != nil {
				return
			}
			if len(p) > MaxFrameBytes {
				t.Fatalf("frame of %d bytes", len(p))
			}
			buf = p
		}
	})
}
