package ttrpc

import (
	"context"
	"errors"
	"fmt"

	"github.com/berth-run/berth/shim/pb"
	"github.com/containerd/errdefs"
)

// The gRPC codes that carry a class.
const (
	codeOK      = 0
	codeUnknown = 2
)

// classes pairs gRPC codes with errors; the first that matches wins.
func classes() []class {
	return []class{
		{1, context.Canceled},
		{4, context.DeadlineExceeded},
		{3, errdefs.ErrInvalidArgument},
		{5, errdefs.ErrNotFound},
		{6, errdefs.ErrAlreadyExists},
		{7, errdefs.ErrPermissionDenied},
		{8, errdefs.ErrResourceExhausted},
		{9, errdefs.ErrFailedPrecondition},
		{10, errdefs.ErrAborted},
		{11, errdefs.ErrOutOfRange},
		{12, errdefs.ErrNotImplemented},
		{13, errdefs.ErrInternal},
		{14, errdefs.ErrUnavailable},
		{15, errdefs.ErrDataLoss},
		{16, errdefs.ErrUnauthenticated},
	}
}

type class struct {
	code uint64
	err  error
}

// appendStatus appends google.rpc.Status for err.
func appendStatus(b []byte, err error) []byte {
	code := uint64(codeUnknown)
	for _, c := range classes() {
		if errors.Is(err, c.err) {
			code = c.code
			break
		}
	}
	b = pb.Uint(b, 1, code)
	return pb.String(b, 2, err.Error())
}

// readStatus is the error that google.rpc.Status carries.
func readStatus(b []byte) error {
	var code uint64
	var text string
	err := pb.Each(b, func(f pb.Field) error {
		switch f.Num {
		case 1:
			code = f.Uint()
		case 2:
			text = f.String()
		}
		return nil
	})
	if err != nil || code == codeOK {
		return err
	}
	for _, c := range classes() {
		if c.code == code {
			return fmt.Errorf("%s: %w", text, c.err)
		}
	}
	return fmt.Errorf("%s: %w", text, errdefs.ErrUnknown)
}
