package doctor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berth-run/berth/internal/cgroup"
)

// shims are the processes that serve a pod of this instance: they stand in the pod's directory, or in
// the bundle of a container in Berth's namespace.
func (d *Doctor) shims(context.Context) ([]Finding, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var found []Finding
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		cwd, err := os.Readlink(filepath.Join("/proc", e.Name(), "cwd"))
		if err != nil || !d.inside(cwd) {
			continue
		}
		cmdline, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		args := strings.Split(string(cmdline), "\x00")
		owner := id.FindString(string(cmdline))
		if owner == "" || !strings.Contains(filepath.Base(args[0]), "shim") {
			continue
		}
		f := Finding{
			Kind: "shim", Name: fmt.Sprintf("%d (%s)", pid, filepath.Base(args[0])), ID: owner, order: orderProcess,
			fix: func(ctx context.Context) error { return kill(ctx, pid, owner) },
		}
		if !d.isOwn(cwd) || !ofNamespace(args) {
			f.LeftAlone = foreign
		}
		found = append(found, f)
	}
	return found, nil
}

// killWait bounds how long a process may take to end.
const killWait = 10 * time.Second

// kill ends a process, if it is still the one that owner names.
func kill(ctx context.Context, pid int, owner string) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil // it has ended
	}
	defer unix.Close(fd)
	cmdline, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
	if !strings.Contains(string(cmdline), owner) {
		return nil
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil {
		return err
	}
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for deadline := time.Now().Add(killWait); ctx.Err() == nil; {
		n, err := unix.Poll(fds, int(max(0, time.Until(deadline)).Milliseconds()))
		switch {
		case n > 0:
			return nil
		case err == unix.EINTR:
			continue
		}
		return fmt.Errorf("pid %d has not ended %s after SIGKILL", pid, killWait)
	}
	return ctx.Err()
}

// cgroups lists the cgroups of pods and containers below Berth's own parent.
func (d *Doctor) cgroups(context.Context) ([]Finding, error) {
	if !d.Alone {
		return nil, nil
	}
	parent, own, err := d.Cgroups.PodParent("", strings.Repeat("0", 64))
	if err != nil || !own {
		return nil, err
	}
	// The pods' cgroups are siblings below Berth's own parent.
	seen := map[string]bool{}
	var found []Finding
	for _, dir := range d.Cgroups.Resolve(parent).Dirs() {
		entries, err := os.ReadDir(filepath.Dir(dir))
		if err != nil {
			continue // nothing was ever made in this hierarchy
		}
		for _, e := range entries {
			owner := id.FindString(e.Name())
			if owner == "" || !e.IsDir() || seen[owner] {
				continue
			}
			seen[owner] = true
			group, _, err := d.Cgroups.PodParent("", owner)
			if err != nil {
				return nil, err
			}
			found = append(found, Finding{
				Kind: "cgroup", Name: group, ID: owner, order: orderCgroup,
				fix: func(ctx context.Context) error { return d.removeCgroup(ctx, d.Cgroups.Resolve(group)) },
			})
		}
	}
	return found, nil
}

func (d *Doctor) removeCgroup(ctx context.Context, paths cgroup.Paths) error {
	ctx, cancel := context.WithTimeout(ctx, killWait)
	defer cancel()
	if err := d.Cgroups.KillAll(ctx, paths); err != nil {
		return err
	}
	return d.Cgroups.Remove(ctx, paths)
}
