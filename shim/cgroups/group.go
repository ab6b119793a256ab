// Package cgroups looks at and ends the processes of one container's cgroup, and removes it. Package
// cgroup does more, for the daemon; this is the part that every shim carries.
package cgroups

import (
	"bufio"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	root = "/sys/fs/cgroup"
	// maxNested bounds how many cgroups below the container's are looked at.
	maxNested = 1000
)

// Group is where a process is in the cgroup hierarchies.
type Group struct {
	// Dirs are the directories by controller of v1, and "" for the v2 hierarchy, which exists alone
	// or beside v1.
	Dirs map[string]string
}

// Of finds the cgroup that pid is in.
func Of(pid int) (Group, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		return Group{}, err
	}
	return Parse(string(data)), nil
}

// Parse reads /proc/<pid>/cgroup. All directories are below /sys/fs/cgroup, also where the kernel says "/../x", which
// it does of a cgroup outside of the reader's cgroup namespace. Fuzzed.
func Parse(data string) Group {
	g := Group{Dirs: make(map[string]string, 12)}
	unified := root
	if _, err := os.Stat(filepath.Join(root, "unified", "cgroup.procs")); err == nil {
		unified = filepath.Join(root, "unified")
	}
	for line := range strings.Lines(data) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(f) != 3 {
			continue
		}
		if f[1] == "" {
			g.Dirs[""] = below(unified, f[2])
			continue
		}
		for c := range strings.SplitSeq(f[1], ",") {
			g.Dirs[c] = below(below(root, strings.TrimPrefix(f[1], "name=")), f[2])
		}
	}
	return g
}

// below joins a path to dir; ".." in it leads no further up than to dir.
func below(dir, path string) string { return filepath.Join(dir, filepath.Join("/", path)) }

// alone reports whether there are no v1 controllers.
func (g Group) alone() bool { return g.Dirs["memory"] == "" && g.Dirs["pids"] == "" }

// main is the hierarchy that processes are looked for in.
func (g Group) main() string {
	for _, c := range []string{"pids", "memory", "name=systemd"} {
		if dir := g.Dirs[c]; dir != "" {
			return dir
		}
	}
	return g.Dirs[""]
}

// PIDs are the processes in the cgroup and below it.
func (g Group) PIDs() (pids []int, err error) {
	dir := g.main()
	if dir == "" {
		return nil, nil
	}
	err = walk(dir, func(dir string) {
		data, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		if err != nil {
			return
		}
		for line := range strings.Lines(string(data)) {
			if pid, err := strconv.Atoi(strings.TrimSpace(line)); err == nil && pid > 0 {
				pids = append(pids, pid)
			}
		}
	})
	return pids, err
}

// Thaw lets a frozen v1 cgroup go on, and those below it: their processes die of no signal before that.
func (g Group) Thaw() {
	if dir := g.Dirs["freezer"]; dir != "" {
		_ = walk(dir, func(dir string) { _ = write(filepath.Join(dir, "freezer.state"), "THAWED") })
	}
}

// Kill sends SIGKILL to every process in the cgroup and below it, and does not wait.
func (g Group) Kill() error {
	killed := false
	if dir := g.Dirs[""]; dir != "" {
		killed = write(filepath.Join(dir, "cgroup.kill"), "1") == nil // since Linux 5.14; nothing can escape it
	}
	if killed && g.alone() {
		return g.killLeft()
	}
	// A frozen process can neither fork nor die.
	if dir := g.Dirs["freezer"]; dir != "" {
		_ = write(filepath.Join(dir, "freezer.state"), "FROZEN")
	}
	defer g.Thaw()
	pids, err := g.PIDs()
	for _, pid := range pids {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
	return err
}

// killLeft sends SIGKILL to processes that cgroup.kill does not reach: the kernel sends that signal to the main
// thread, which is dead where a seccomp profile with SCMP_ACT_KILL ended it, while others of the process live.
func (g Group) killLeft() error {
	before, err := g.PIDs()
	opened := make(map[int]int, len(before))
	for _, pid := range before {
		if fd, err := unix.PidfdOpen(pid, 0); err == nil {
			opened[pid] = fd
			defer unix.Close(fd)
		}
	}
	if len(opened) == 0 {
		return err
	}
	after, err := g.PIDs() // who is still there has the PID that was opened
	for _, pid := range after {
		if fd, ok := opened[pid]; ok {
			_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
		}
	}
	return err
}

// Signal sends a signal to every process in the cgroup and below it.
func (g Group) Signal(sig unix.Signal) error {
	if sig == unix.SIGKILL {
		return g.Kill()
	}
	pids, err := g.PIDs()
	for _, pid := range pids {
		_ = unix.Kill(pid, sig)
	}
	return err
}

// removeFor bounds the wait for processes that are on their way out.
const removeFor = 5 * time.Second

// Remove removes the cgroup at dir and all below it. A process that has just ended still holds its
// cgroup for a moment, hence the retries: v1 has no event for the end of that.
func Remove(ctx context.Context, dir string) error {
	err := unix.Rmdir(dir)
	if err == nil || err == unix.ENOENT {
		return nil
	}
	for begin, pause := time.Now(), time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		if err = removeTree(dir); err == nil {
			return nil
		}
		if err != unix.EBUSY && err != unix.ENOTEMPTY || time.Since(begin) > removeFor {
			return fmt.Errorf("remove cgroup %s: %w", dir, err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return fmt.Errorf("remove cgroup %s: %w: %w", dir, err, ctx.Err())
		}
	}
}

// removeTree tries once.
func removeTree(dir string) error {
	var dirs []string
	_ = walk(dir, func(dir string) { dirs = append(dirs, dir) })
	for i := len(dirs) - 1; i >= 0; i-- {
		if err := unix.Rmdir(dirs[i]); err != nil && err != unix.ENOENT {
			return err
		}
	}
	return nil
}

// walk visits a cgroup and those below it, parents first.
func walk(dir string, visit func(dir string)) error {
	seen := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil
		}
		if seen++; seen > maxNested {
			return fs.SkipAll
		}
		visit(path)
		return nil
	})
	if os.IsNotExist(err) {
		return nil
	}
	return err
}

// write writes a file that must exist.
func write(path, value string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// Value reads the value of key in a file of "key value" lines; 0 when there is none. An empty key
// means a file with nothing but a number; "max" and the like are the largest one.
func Value(path, key string) uint64 {
	f, err := os.Open(path)
	if err != nil {
		return 0
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		k, v, ok := strings.Cut(s.Text(), " ")
		if key == "" {
			k, v, ok = "", k, true
		}
		if ok && k == key {
			n, err := strconv.ParseUint(v, 10, 64)
			if err != nil && v == "max" {
				n = 1<<64 - 1
			}
			return n
		}
	}
	return 0
}
