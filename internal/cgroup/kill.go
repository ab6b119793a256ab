package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/cgroups"
	"golang.org/x/sys/unix"
)

// waitSlice bounds one wait in the kernel, so that the end of a context is noticed.
const waitSlice = 100 * time.Millisecond

// KillAll sends SIGKILL to every process in the cgroup and below, in every
// hierarchy, until none is left or ctx ends (its error). A cgroup
// that is not there has no process. The root of a hierarchy, and a cgroup that
// holds this daemon, are refused with errdefs.ErrInvalidArgument.
func (h *Host) KillAll(ctx context.Context, paths Paths) error {
	if err := h.checkVictim(paths); err != nil {
		return err
	}
	for {
		if dir, ok := paths[""]; ok {
			if err := killUnified(ctx, dir); err != nil {
				return err
			}
		}
		// A process can be left in one hierarchy only, so every one is looked at.
		n, err := h.killV1(ctx, paths)
		if err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
	}
}

// checkVictim refuses to kill the machine.
func (h *Host) checkVictim(paths Paths) error {
	roots := map[string]bool{h.Root: true, filepath.Join(h.Root, "unified"): true}
	for _, mount := range h.Controllers {
		roots[mount] = true
	}
	for _, dir := range paths {
		if roots[filepath.Clean(dir)] || !strings.HasPrefix(filepath.Clean(dir), h.Root+"/") {
			return fmt.Errorf("kill all processes in cgroup %s: it is not below the root of a hierarchy: %w",
				dir, errdefs.ErrInvalidArgument)
		}
		pids, _ := allPids(dir)
		for _, pid := range pids {
			if pid == os.Getpid() {
				return fmt.Errorf("kill all processes in cgroup %s: this daemon (pid %d) is in it: %w",
					dir, pid, errdefs.ErrInvalidArgument)
			}
		}
	}
	return nil
}

// killUnified uses cgroup.kill (Linux 5.14), which no fork can escape, and waits until
// the cgroup is empty. An older kernel is served like v1: see killV1.
//
// The kernel sends that signal to the main thread of each process. One whose main thread is dead, as after a
// system call that its seccomp profile has SCMP_ACT_KILL for, does not get it: what is left after a moment gets a
// signal of its own, which goes to the whole process.
func killUnified(ctx context.Context, dir string) error {
	err := write(filepath.Join(dir, "cgroup.kill"), "1")
	if gone(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("kill all processes in cgroup %s: %w", dir, err)
	}
	return waitEmpty(ctx, dir)
}

// waitEmpty waits for "populated 0", whose change the kernel announces by POLLPRI.
func waitEmpty(ctx context.Context, dir string) error {
	f, err := os.Open(filepath.Join(dir, "cgroup.events"))
	if gone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	buf := make([]byte, 256)
	for {
		n, err := f.ReadAt(buf, 0)
		if gone(err) || strings.Contains(string(buf[:n]), "populated 0") {
			return nil
		}
		if n == 0 && err != nil {
			return fmt.Errorf("read %s: %w", f.Name(), err)
		}
		if err := ctx.Err(); err != nil {
			return timeout(dir, err)
		}
		if !pollOne(int(f.Fd()), unix.POLLPRI) {
			strike(dir)
		}
	}
}

// strike sends SIGKILL to every process that is in the cgroup, or below it, now.
func strike(dir string) {
	victims, _ := openAll(Paths{"": dir})
	for _, v := range victims {
		_ = unix.PidfdSendSignal(v.fd, unix.SIGKILL, nil, 0)
		unix.Close(v.fd)
	}
}

// killV1 kills what is in the cgroup now and returns how many processes that were,
// once they are gone. The freezer keeps them from forking meanwhile. A v1 process that is frozen dies of SIGKILL only
// when it is thawed, also where a cgroup below was frozen before.
func (h *Host) killV1(ctx context.Context, paths Paths) (int, error) {
	if dir := paths["freezer"]; dir != "" {
		_ = write(filepath.Join(dir, "freezer.state"), "FROZEN")
	}
	victims, err := openAll(paths)
	for _, v := range victims {
		defer unix.Close(v.fd)
		_ = unix.PidfdSendSignal(v.fd, unix.SIGKILL, nil, 0)
	}
	h.thawBelow(paths)
	if err != nil {
		return 0, err
	}
	for _, v := range victims {
		for !pollOne(v.fd, unix.POLLIN) {
			if err := ctx.Err(); err != nil {
				return 0, timeout(fmt.Sprintf("%s (pid %d)", paths.any(), v.pid), err)
			}
		}
	}
	return len(victims), nil
}

type victim struct{ pid, fd int }

// openAll opens a pidfd of each process in any of the directories and looks again
// whether the process is still there: only then the pid was not one used anew.
func openAll(paths Paths) ([]victim, error) {
	var out []victim
	for _, dir := range paths.Dirs() {
		before, err := allPids(dir)
		if err != nil {
			return out, fmt.Errorf("list the processes of cgroup %s: %w", dir, err)
		}
		if len(before) == 0 {
			continue
		}
		opened := map[int]int{}
		for _, pid := range before {
			if fd, err := unix.PidfdOpen(pid, 0); err == nil {
				opened[pid] = fd
			}
		}
		after, _ := allPids(dir)
		for _, pid := range after {
			if fd, ok := opened[pid]; ok && !pollNow(fd) {
				out = append(out, victim{pid, fd})
				delete(opened, pid)
			}
		}
		for _, fd := range opened {
			unix.Close(fd)
		}
	}
	return out, nil
}

// PIDs lists the processes in the cgroup and below it. A cgroup that is not there has none.
func (h *Host) PIDs(paths Paths) ([]int, error) {
	dir := paths.any()
	if h.Mode == Unified {
		dir = paths[""]
	}
	return allPids(dir)
}

// allPids lists the processes of a cgroup and all below; a cgroup that is gone has none.
func allPids(dir string) ([]int, error) {
	pids, err := cgroups.GetAllPids(dir)
	if gone(err) {
		return nil, nil
	}
	return pids, err
}

// pollOne waits a little for an event on fd and tells whether it came.
func pollOne(fd int, events int16) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: events}}
	n, _ := unix.Poll(fds, int(waitSlice.Milliseconds()))
	return n > 0
}

// pollNow reports whether the process of a pidfd has ended.
func pollNow(fd int) bool {
	n, _ := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	return n > 0
}

// write writes a cgroup file that must exist: with O_CREAT a missing one would be EPERM.
func write(file, value string) error {
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(value)
	return err
}

// gone reports whether an error says that the cgroup does not exist (any more).
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV)
}

func timeout(what string, err error) error {
	return fmt.Errorf("processes in cgroup %s are still there after SIGKILL, look at /proc/<pid>/stack for what holds them: %w",
		what, err)
}

// any is one of the directories, for messages.
func (p Paths) any() string {
	if dir, ok := p["pids"]; ok {
		return dir
	}
	for _, dir := range p {
		return dir
	}
	return ""
}
