package measure

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/berth-run/berth/internal/cgroup"
)

// statsFloor reads what CRI's stats of pods are made of, and nothing else: each file is opened in a
// directory that is open already, read and closed, on all processors. It makes no sense of them, and
// leaves out the pods' networks.
type statsFloor struct {
	containers []dirFiles // what both calls read
	rest       []dirFiles // of pods, and processes
	open       []int
}

// dirFiles are files of one directory.
type dirFiles struct {
	fd    int
	names []string
}

// newStatsFloor finds the cgroups below one: pods, and containers in them.
func newStatsFloor(root string) (_ *statsFloor, err error) {
	host, err := cgroup.Detect(string(cgroup.Cgroupfs))
	if err != nil {
		return nil, err
	}
	f := &statsFloor{}
	defer func() {
		if err != nil {
			f.close()
		}
	}()
	pods, err := below(host, root)
	if err != nil {
		return nil, err
	}
	for _, pod := range pods {
		containers, err := below(host, pod)
		if err != nil {
			return nil, err
		}
		err = errors.Join(f.add(&f.rest, host, pod, false), f.add(&f.rest, host, pod, true))
		for _, c := range containers {
			err = errors.Join(err, f.add(&f.containers, host, c, false), f.add(&f.rest, host, c, true))
		}
		if err != nil {
			return nil, err
		}
	}
	return f, nil
}

// below lists the cgroups right below one.
func below(host *cgroup.Host, path string) ([]string, error) {
	controller := "memory"
	if host.Mode == cgroup.Unified {
		controller = ""
	}
	entries, err := os.ReadDir(host.Resolve(path)[controller])
	var out []string
	for _, e := range entries {
		if e.IsDir() {
			out = append(out, filepath.Join(path, e.Name()))
		}
	}
	return out, err
}

// add opens the directories of a cgroup, for its processes or for the rest.
func (f *statsFloor) add(to *[]dirFiles, host *cgroup.Host, path string, processes bool) error {
	stalls := []string{"cpu.pressure", "memory.pressure", "io.pressure"}
	var wanted map[string][]string
	switch unified := host.Mode == cgroup.Unified; {
	case processes && unified:
		wanted = map[string][]string{"": {"cgroup.procs"}}
	case processes:
		wanted = map[string][]string{"pids": {"cgroup.procs"}}
	case unified:
		wanted = map[string][]string{"": append(stalls, "cpu.stat", "memory.current", "memory.stat", "memory.swap.current")}
	default:
		wanted = map[string][]string{"cpuacct": {"cpuacct.usage"}, "memory": {"memory.usage_in_bytes", "memory.stat"}, "": stalls}
	}
	for controller, dir := range host.Resolve(path) {
		names := wanted[controller]
		if len(names) == 0 {
			continue
		}
		fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return &os.PathError{Op: "open", Path: dir, Err: err}
		}
		f.open = append(f.open, fd)
		*to = append(*to, dirFiles{fd, names})
	}
	return nil
}

func (f *statsFloor) close() {
	for _, fd := range f.open {
		_ = unix.Close(fd)
	}
}

// read reads what a call is about; a call that is not about stats needs nothing.
func (f *statsFloor) read(call string) error {
	var dirs []dirFiles
	switch call {
	case "ListContainerStats":
		dirs = f.containers
	case "ListPodSandboxStats":
		dirs = slices.Concat(f.containers, f.rest)
	default:
		return nil
	}
	work := make(chan dirFiles, len(dirs))
	for _, d := range dirs {
		work <- d
	}
	close(work)
	var workers errgroup.Group
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() error {
			buf := make([]byte, 16<<10)
			for d := range work {
				for _, name := range d.names {
					if err := readFile(d.fd, name, buf); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
	return workers.Wait()
}

func readFile(dir int, name string, buf []byte) error {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil // a kernel without PSI
	}
	if err != nil {
		return &os.PathError{Op: "open", Path: name, Err: err}
	}
	defer unix.Close(fd)
	if _, err := unix.Read(fd, buf); err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
		return &os.PathError{Op: "read", Path: name, Err: err}
	}
	return nil
}
