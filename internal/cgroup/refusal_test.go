package cgroup

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// TestRefusal: the same refusal has the same class, whether it comes from the kernel or through
// the OCI runtime, and for a pod as for a container.
func TestRefusal(t *testing.T) {
	for _, c := range []struct {
		err  error
		want error
	}{
		{&os.PathError{Op: "write", Path: "memory.limit_in_bytes", Err: unix.EBUSY}, errdefs.ErrFailedPrecondition},
		{errors.New("runc did not terminate: write memory.limit_in_bytes: device or resource busy"), errdefs.ErrFailedPrecondition},
		{errors.New("unable to set memory limit to 1048576 (current usage: 69529600, peak usage: 70529600)"), errdefs.ErrFailedPrecondition},
		{fmt.Errorf("set: %w", unix.EINVAL), errdefs.ErrInvalidArgument},
		{errors.New("runc: write cpu.cfs_quota_us: invalid argument"), errdefs.ErrInvalidArgument},
		{errors.New("runc: write cpuset.cpus: numerical result out of range"), errdefs.ErrInvalidArgument},
	} {
		if got := Refusal(c.err); !errors.Is(got, c.want) || !errors.Is(got, c.err) {
			t.Errorf("%v became %v", c.err, got)
		}
	}
	other := fmt.Errorf("write: %w", unix.EIO)
	if got := Refusal(other); got != other {
		t.Errorf("%v became %v", other, got)
	}
	if Refusal(nil) != nil {
		t.Error("nothing became an error")
	}
}
