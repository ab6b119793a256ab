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
}

// readPids reads the pids controller, whose files are the same on v1 and v2, and counts
// processes in cgroup.procs.
func readPids(f *files, g *group, s *Sample) error {
	dir := g.dir("pids")
	p := &Pids{}
	var err error
	if p.Threads, err = f.value(dir, "pids.current"); err != nil {
		return err
	}
	if p.Limit, err = f.limit(dir, "pids.max"); err != nil {
		return err
	}
	if p.Processes, err = countProcesses(f, dir); err != nil {
		return err
	}
	s.Pids = p
	return nil
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
