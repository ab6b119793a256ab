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

// readPids reads the pids controller, whose files are the same on v1 and v2. Without it
// there is nothing but the count of processes.
func readPids(f *files, g *group, s *Sample) error {
	dir := g.dir("pids")
	threads, err := f.value(dir, "pids.current")
	if err != nil {
		return err
	}
	if s.Pids == nil {
		s.Pids = &Pids{}
	}
	p := s.Pids
	p.Threads, p.Alone = threads, false
	p.Limit, err = f.limit(dir, "pids.max")
	return err
}

// countIn counts processes in dir alone.
func countIn(f *files, dir *directory) (uint64, error) {
	b, err := f.read(dir, "cgroup.procs")
	return uint64(bytes.Count(b, []byte{'\n'})), err
}

// countBelow counts in dir and below. What vanishes meanwhile counts nothing.
func countBelow(f *files, dir *directory) (uint64, error) {
	n, err := countIn(f, dir)
	if err != nil || dir.below() == 0 {
		return n, err
	}
	entries, _ := os.ReadDir(dir.path)
	for _, e := range entries {
		if e.IsDir() {
			below, _ := countBelow(&files{buf: f.buf}, passing(dir.path+"/"+e.Name()))
			n += below
		}
	}
	return n, nil
}
