package cgroup

import (
	"errors"
	"fmt"
	"strings"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// memoryInUse is how the library and runc say on cgroup v1 that a memory limit is below what is in use; the
// kernel's EBUSY is lost there.
const memoryInUse = "unable to set memory limit"

// Refusal gives the class to an error of setting resources: errdefs.ErrFailedPrecondition where the
// value could be set at another time (a memory limit below what is in use), errdefs.ErrInvalidArgument
// where the kernel refuses the value, none for another failure. An error that came through the OCI
// runtime is told by its text, since the runtime has no codes.
func Refusal(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	says := func(errno unix.Errno) bool { return errors.Is(err, errno) || strings.Contains(text, errno.Error()) }
	switch {
	case says(unix.EBUSY), strings.Contains(text, memoryInUse):
		return fmt.Errorf("%w: %w", err, errdefs.ErrFailedPrecondition)
	case says(unix.EINVAL), says(unix.ERANGE), says(unix.EACCES):
		return fmt.Errorf("%w: %w", err, errdefs.ErrInvalidArgument)
	}
	return err
}
