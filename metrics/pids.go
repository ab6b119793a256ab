package metrics

import (
	"bytes"
	"os"
)

// Pids counts the tasks of a cgroup and all below it.
type Pids struct {
	// Threads counts tasks of any kind, Limit is their limit (0 is none).
	Threads, Limit uint64
	// Processes counts thread groups.
	Processes uint64
	// Alone tells that there is no pids controller, and so nothing but Processes.
	Alone bool `json:",omitempty"`
}

// readProcessCount counts processes in cgroup.procs, which is all that CRI's stats have of
// this, and of pods only.
func readProcessCount(f *files, g *group, s *Sample) error {
	n, err := countProcesses(f, g.dir("pids"))
	if err != nil {
		return err
	}
	s.Pids = &Pids{Processes: n}
	return nil
}

// readPids reads the pids controller, whose files are the same on v1 and v2, and counts
// processes unless that was done.
func readPids(f *files, g *group, s *Sample) (err error) {
	if s.Pids == nil {
		if err := readProcessCount(f, g, s); err != nil {
			return err
		}
	}
	dir, p := g.dir("pids"), s.Pids
	if p.Threads, err = f.value(dir, "pids.current"); err != nil {
		p.Alone = true
		return err
	}
	p.Limit, err = f.limit(dir, "pids.max")
	return err
}

// countProcesses counts in dir and below. What vanishes meanwhile counts nothing.
func countProcesses(f *files, dir *directory) (uint64, error) {
	b, err := f.read(dir, "cgroup.procs")
	if err != nil {
		return 0, err
	}
	n := uint64(bytes.Count(b, []byte{'\n'}))
	if !dir.parent() {
		return n, nil
	}
	entries, _ := os.ReadDir(dir.path)
	for _, e := range entries {
		if e.IsDir() {
			below, _ := countProcesses(&files{buf: f.buf}, passing(dir.path+"/"+e.Name()))
			n += below
		}
	}
	return n, nil
}
