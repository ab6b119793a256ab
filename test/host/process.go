package host

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// process is one that runs on the host, as far as it can be seen.
type process struct {
	pid  int
	name string
	args []string
	cwd  string
}

func allProcesses() []process {
	entries, _ := os.ReadDir("/proc")
	var all []process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		dir := filepath.Join("/proc", e.Name())
		cmdline, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil || len(cmdline) == 0 {
			continue // gone, a kernel thread or a zombie
		}
		args := strings.Split(strings.TrimRight(string(cmdline), "\x00"), "\x00")
		cwd, _ := os.Readlink(filepath.Join(dir, "cwd"))
		all = append(all, process{pid: pid, name: filepath.Base(args[0]), args: args, cwd: cwd})
	}
	return all
}

// owns reports whether a process was started by the runtime: its directory is among the
// arguments, or the process is in it.
func (scope Scope) owns(p process) bool {
	if p.pid == os.Getpid() {
		return false
	}
	inside := scope.Dir + "/"
	return strings.HasPrefix(p.cwd+"/", inside) || hasAny(strings.Join(p.args, "\x00"), []string{inside})
}

// processes counts those of the runtime, the daemon and its containerd excepted. What runs
// in containers is found by its cgroup.
func processes(_ context.Context, scope Scope, s Snapshot) error {
	for _, p := range allProcesses() {
		if p.name != "berthd" && p.name != "containerd" && scope.owns(p) {
			s.add("process", "%d: %s", p.pid, strings.Join(p.args, " "))
		}
	}
	return nil
}

// zombies of the daemon: children that it has not waited for.
func zombies(scope Scope, s Snapshot) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		stat, err := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		if err != nil {
			continue
		}
		text := string(stat)
		end := strings.LastIndexByte(text, ')')
		fields := strings.Fields(text[end+1:])
		if len(fields) > 1 && fields[0] == "Z" && fields[1] == strconv.Itoa(scope.PID) {
			s.add("zombie", "%s", text[:end+1])
		}
	}
}
