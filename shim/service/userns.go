package service

import (
	"fmt"
	"io"
	"os"

	"github.com/berth-run/berth/shim/reap"
	"github.com/berth-run/berth/shim/rootfs"
	"golang.org/x/sys/unix"
)

// envHold makes a process of this binary do nothing until its stdin ends, see HoldNamespace.
const envHold = "BERTH_SHIM_HOLD"

// userns makes a user namespace with the mapping. A namespace comes with a process only: one that
// is there until its namespace has been opened.
func (s *Service) userns(m rootfs.IDMap) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	defer w.Close()
	pid, exited, err := s.reaper.Start(reap.Command{
		Path: "/proc/self/exe", Env: []string{envHold + "=1"}, Files: []*os.File{r, nil, nil}, UIDs: m.UIDs, GIDs: m.GIDs,
	})
	if err != nil {
		return nil, err
	}
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", pid))
	_ = unix.Kill(pid, unix.SIGKILL)
	<-exited
	return ns, err
}

// HoldNamespace reports whether this process is there for its namespace only, after it has been.
func HoldNamespace() bool {
	if os.Getenv(envHold) == "" {
		return false
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	return true
}
