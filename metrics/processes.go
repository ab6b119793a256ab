package metrics

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// maxProcesses and maxDescriptors bound what is looked at in /proc for one container.
	// One that has more has no such figures: wrong ones would be worse.
	maxProcesses   = 128
	maxDescriptors = 8192
)

// Processes are figures of a container's processes that no cgroup file has.
type Processes struct {
	// Descriptors counts open file descriptors, Sockets those of them that are sockets.
	Descriptors, Sockets uint64
	// OpenFiles is the first process' soft limit of open files, -1 for none, nil when it
	// could not be read.
	OpenFiles *int64
}

// readProcesses looks into /proc for every process of the container; nil when there are too
// many, or none any more.
func readProcesses(f *files, dir *directory, proc string, init uint32) *Processes {
	pids, ok := processIDs(f, dir, nil)
	if !ok || len(pids) == 0 {
		return nil
	}
	p := &Processes{}
	for _, pid := range pids {
		if !p.descriptors(filepath.Join(proc, pid, "fd")) {
			return nil
		}
	}
	if init != 0 {
		p.OpenFiles = openFiles(f, filepath.Join(proc, strconv.FormatUint(uint64(init), 10)))
	}
	return p
}

// processIDs lists the processes in a cgroup and below.
func processIDs(f *files, dir *directory, pids []string) ([]string, bool) {
	b, err := f.read(dir, "cgroup.procs")
	if err != nil {
		return pids, true
	}
	for _, pid := range bytes.Fields(b) {
		if pids = append(pids, string(pid)); len(pids) > maxProcesses {
			return nil, false
		}
	}
	if dir.below() == 0 {
		return pids, true
	}
	entries, _ := os.ReadDir(dir.path)
	for _, e := range entries {
		ok := true
		if e.IsDir() {
			pids, ok = processIDs(f, passing(dir.path+"/"+e.Name()), pids)
		}
		if !ok {
			return nil, false
		}
	}
	return pids, true
}

// below is how many cgroups a cgroup has right below: its link count tells, without a listing.
func (d *directory) below() int {
	var st unix.Stat_t
	var err error
	if d.fd > 0 {
		err = unix.Fstat(d.fd, &st)
	} else {
		err = unix.Stat(d.path, &st)
	}
	if err != nil {
		return 0
	}
	return max(0, int(st.Nlink)-2)
}

// descriptors counts those of one process; one that ended meanwhile has none. False: there
// are too many.
func (p *Processes) descriptors(dir string) bool {
	d, err := os.Open(dir)
	if err != nil {
		return true
	}
	defer d.Close()
	names, _ := d.Readdirnames(maxDescriptors + 1)
	p.Descriptors += uint64(len(names))
	if p.Descriptors > maxDescriptors {
		return false
	}
	var target [8]byte
	for _, name := range names {
		n, err := unix.Readlinkat(int(d.Fd()), name, target[:])
		if err == nil && strings.HasPrefix(string(target[:n]), "socket:") {
			p.Sockets++
		}
	}
	return true
}

// openFiles reads the line "Max open files  1024  4096  files" of /proc/<pid>/limits.
func openFiles(f *files, dir string) *int64 {
	b, err := f.read(passing(dir), "limits")
	if err != nil {
		return nil
	}
	const name = "Max open files"
	_, b, ok := bytes.Cut(b, []byte(name))
	if !ok {
		return nil
	}
	fields := bytes.Fields(b)
	if len(fields) == 0 {
		return nil
	}
	v := int64(-1)
	if string(fields[0]) != "unlimited" {
		if v, err = strconv.ParseInt(string(fields[0]), 10, 64); err != nil {
			return nil
		}
	}
	return &v
}
