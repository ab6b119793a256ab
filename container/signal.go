package container

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// signalPID sends a signal to a container's process. The pidfd is taken first and
// the process then checked to belong to the container, so that a recycled pid is
// never hit: it is in the container's cgroup, or, where somebody has moved it out of
// there, a child of the pod's shim. A process that has ended is no error.
func signalPID(pid int, id string, shim int, sig unix.Signal) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if ended(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open process %d: %w", pid, err)
	}
	defer unix.Close(fd)
	groups, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cgroup"))
	if err != nil {
		return nil // it has ended
	}
	if _, parent := processStat(pid); !bytes.Contains(groups, []byte(id)) && (shim == 0 || parent != shim) {
		return nil // the pid is somebody else's
	}
	if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil && !ended(err) {
		return fmt.Errorf("send %s to process %d: %w", unix.SignalName(sig), pid, err)
	}
	return nil
}

// killSession ends what a process started in its own session, as long as it is
// still in the container's cgroup, whose directory in some hierarchy dir is, or below.
func killSession(dir string, leader int) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		raw, err := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		if err != nil {
			return err
		}
		killThose(strings.Fields(string(raw)), leader)
		return nil
	})
}

// killThose ends the processes that are in the leader's session.
func killThose(pids []string, leader int) {
	for _, field := range pids {
		pid, err := strconv.Atoi(field)
		if err != nil || sessionOf(pid) != leader {
			continue
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue
		}
		if sessionOf(pid) == leader {
			_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
		}
		unix.Close(fd)
	}
}

// sessionOf is the session of a process, 0 when it is gone.
func sessionOf(pid int) int {
	sid, err := unix.Getsid(pid)
	if err != nil {
		return 0
	}
	return sid
}
