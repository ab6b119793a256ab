package cri

import (
	"errors"
	"fmt"
	"testing"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TestToStatus: an error has its code once, and its text does not say the code again.
func TestToStatus(t *testing.T) {
	inner := status.Error(codes.Unimplemented, "method X not implemented")
	for _, c := range []struct {
		err  error
		code codes.Code
		text string
	}{
		{inner, codes.Unimplemented, "method X not implemented"},
		{fmt.Errorf("stop pod a: %w", inner), codes.Unimplemented, "stop pod a: method X not implemented"},
		{errors.Join(errors.New("x"), inner), codes.Unimplemented, "x\nmethod X not implemented"},
		{status.Error(codes.Unknown, "odd"), codes.Internal, "rpc error: code = Unknown desc = odd"},
		{fmt.Errorf("no pod a: %w", errdefs.ErrNotFound), codes.NotFound, "no pod a: not found"},
		{errors.New("x"), codes.Internal, "x"},
	} {
		s := status.Convert(toStatus(c.err))
		if s.Code() != c.code || s.Message() != c.text {
			t.Errorf("%v became %s %q, want %s %q", c.err, s.Code(), s.Message(), c.code, c.text)
		}
	}
	if toStatus(nil) != nil {
		t.Error("nothing became an error")
	}
}

// TestOnce: a class that an error got on both sides of a socket is said once.
func TestOnce(t *testing.T) {
	for text, want := range map[string]string{
		"":                                      "",
		"not found":                             "not found",
		"image x: not found":                    "image x: not found",
		"image x: not found: not found":         "image x: not found",
		"a: b: not found: not found: not found": "a: b: not found",
		"not found: image x: not found":         "not found: image x: not found",
		"file not found: not found":             "file not found: not found",
	} {
		if got := once(text); got != want {
			t.Errorf("once(%q) = %q, want %q", text, got, want)
		}
	}
	err := toStatus(fmt.Errorf("reopen: %w: %w", errors.New("no log: failed precondition"), errdefs.ErrFailedPrecondition))
	if s := status.Convert(err); s.Code() != codes.FailedPrecondition || s.Message() != "reopen: no log: failed precondition" {
		t.Errorf("%v", err)
	}
}
