package service

import (
	"fmt"
	"os"

	"github.com/berth-run/berth/internal/placeholder"
	"github.com/berth-run/berth/shim/reap"
	"github.com/berth-run/berth/shim/rootfs"
	"golang.org/x/sys/unix"
)

// userns makes a user namespace with the mapping. A namespace comes with a process only: one that
// is stopped before its first instruction, and there until its namespace has been opened.
func (s *Service) userns(m rootfs.IDMap) (*os.File, error) {
	program, err := placeholder.New()
	if err == nil {
		defer program.Close()
	}
	pid, exited, err := s.reaper.Start(reap.Command{
		Path: placeholder.Path(program), Files: []*os.File{nil, nil, nil}, UIDs: m.UIDs, GIDs: m.GIDs,
	})
	if err != nil {
		return nil, err
	}
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", pid))
	_ = unix.Kill(pid, unix.SIGKILL)
	<-exited
	return ns, err
}
