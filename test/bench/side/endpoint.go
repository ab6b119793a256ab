package side

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/bench/acct"
)

// adopted is a runtime that ran before the benchmark and goes on afterwards.
type adopted struct {
	pid  int
	from string // the cgroup.procs that it was taken from
	// registry is the address of the benchmark's registry, which speaks plain HTTP.
	registry string
}

// Adopt makes a runtime that runs already one of the sides. For its CPU time to be
// accounted for, its daemon is moved into a cgroup of the benchmark's until the end; on
// cgroup v1 that is the cpuacct hierarchy alone.
func (h *Host) Adopt(ctx context.Context, name, endpoint string) (err error) {
	s := &Side{Name: name, Socket: strings.TrimPrefix(endpoint, "unix://")}
	if s.Dir, err = h.sideDir(name); err != nil {
		return err
	}
	if s.Group, err = acct.NewGroup(h.cgroup(name)); err != nil {
		return err
	}
	if err := s.dial(); err != nil {
		return err
	}
	h.Sides = append(h.Sides, s)
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if _, err := s.Runtime.Version(ctx, &runtimeapi.VersionRequest{}); err != nil {
		return fmt.Errorf("%s at %s: %w", name, endpoint, err)
	}
	pid, err := listenerPID(s.Socket)
	if err != nil {
		return err
	}
	s.adopted = &adopted{pid: pid, from: cgroupProcs(pid), registry: h.Registry.Host()}
	if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err == nil {
		s.Binaries = []string{exe}
	}
	return os.WriteFile(s.Group.Procs(), []byte(strconv.Itoa(pid)), 0)
}

// release puts the daemon, and what it has started, back where it was.
func (s *Side) release() error {
	if s.adopted == nil || s.adopted.from == "" {
		return nil
	}
	var errs []error
	for _, pid := range acct.PIDs(s.Group.Daemon()) {
		err := os.WriteFile(s.adopted.from, []byte(strconv.Itoa(pid)), 0)
		if err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("putting process %d of %s back into its cgroup: %w", pid, s.Name, err))
		}
	}
	return errors.Join(errs...)
}

// listenerPID is the process that listens at a socket.
func listenerPID(socket string) (int, error) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var cerr error
	err = raw.Control(func(fd uintptr) { cred, cerr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err := errors.Join(err, cerr); err != nil {
		return 0, err
	}
	return int(cred.Pid), nil
}

// cgroupProcs is the cgroup.procs file of a process in the hierarchy that accounts for
// CPU time.
func cgroupProcs(pid int) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		if mount := acct.AccountingMount(parts[1]); mount != "" {
			return filepath.Join(mount, parts[2], "cgroup.procs")
		}
	}
	return ""
}

// podKeepers are the processes in the pods' cgroups that are not the workload: pause
// processes, and monitors that a runtime puts there.
func (s *Side) podKeepers(workload string) []int {
	var pids []int
	for _, pid := range acct.PIDs(s.Group.Pods()) {
		if line := acct.CommandLine(pid); line != "" && !strings.Contains(line, workload) {
			pids = append(pids, pid)
		}
	}
	return pids
}
