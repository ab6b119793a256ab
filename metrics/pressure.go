package metrics

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Pressure is the stall information (PSI) of a cgroup, by resource. A resource's is
// nil where the kernel has none.
type Pressure struct {
	CPU, Memory, IO *Stall `json:",omitempty"`
}

// Stall tells for how long tasks waited for a resource: Some, at least one of
// them, and Full, all of them at once.
type Stall struct {
	Some, Full StallTime
}

// StallTime has the averages in percent over 10, 60 and 300 seconds, and the total in nanoseconds.
type StallTime struct {
	Avg10, Avg60, Avg300 float64
	Total                uint64
}

// stalls are the resources that PSI knows, in the order of their files.
const (
	stallCPU = iota
	stallMemory
	stallIO
	stalls
)

var stallFiles = [stalls]string{"cpu.pressure", "memory.pressure", "io.pressure"}

// readPressure reads the v2 directory, which a hybrid host has, too. The files are there
// without the controllers of their resources.
func readPressure(f *files, g *group, s *Sample) error {
	var read [stalls]*Stall
	for i, name := range stallFiles {
		if g.calms(i) {
			read[i] = g.calm[i].stall
			continue
		}
		at := time.Now()
		st, err := stall(f, g.dirs[""], name)
		g.calm[i].see(st, at)
		switch {
		case err == nil:
			read[i] = st
		case vanished(err), errors.Is(err, unix.EOPNOTSUPP):
			// No PSI in this kernel, or switched off at boot or for this cgroup.
		default:
			return err
		}
	}
	if read != [stalls]*Stall{} {
		s.Pressure = &Pressure{CPU: read[stallCPU], Memory: read[stallMemory], IO: read[stallIO]}
	}
	return nil
}

// stall reads lines like "some avg10=0.00 avg60=0.00 avg300=0.00 total=0", total in microseconds.
func stall(f *files, dir *directory, name string) (*Stall, error) {
	b, err := f.read(dir, name)
	if err != nil {
		return nil, err
	}
	st := &Stall{}
	for line := range bytes.Lines(b) {
		kind, averages, _ := bytes.Cut(line, []byte{' '})
		into := &st.Some
		if string(kind) == "full" {
			into = &st.Full
		}
		for kv := range bytes.FieldsSeq(averages) {
			if err := into.set(kv); err != nil {
				return nil, fmt.Errorf("%s/%s: line %q: %w", dir.path, name, line, err)
			}
		}
	}
	return st, nil
}

func (t *StallTime) set(kv []byte) error {
	key, val, _ := bytes.Cut(kv, []byte{'='})
	var err error
	switch string(key) {
	case "avg10":
		t.Avg10, err = strconv.ParseFloat(string(val), 64)
	case "avg60":
		t.Avg60, err = strconv.ParseFloat(string(val), 64)
	case "avg300":
		t.Avg300, err = strconv.ParseFloat(string(val), 64)
	case "total":
		var usec uint64
		usec, err = number(val)
		t.Total = nanos(usec)
	}
	return err
}
