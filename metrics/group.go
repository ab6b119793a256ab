package metrics

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berth-run/berth/internal/cgroup"
)

// maxHandles bounds the directories that a sampler keeps open between passes; what is
// beyond is opened anew each time.
const maxHandles = 8192

// group is a cgroup to read. unified tells which kind of files its directories have; a
// hybrid one has v1 files, and those of PSI in its v2 directory. It is used by one
// goroutine at a time.
type group struct {
	path    string
	unified bool
	dirs    map[string]*directory
	noIO    time.Time // when there were no figures of disks
	// memoryLimits are those that were read last.
	memoryLimits memoryLimits
	// ran is when its processor time was seen to have grown, moved when it was seen to hold more
	// or less memory.
	ran, moved time.Time
	// pod contains it, where the pass under way has read that already; quiet is then whether that implies
	// what this one has used and holds.
	pod    *group
	quiet  bool
	basics basics
	calm   [stalls]calm
	still  still
	// processes as they were counted last.
	processes processes
}

// directory is one of a group's, held open by an O_PATH descriptor so that its files are
// found without walking the whole path. A descriptor does not keep a cgroup alive.
type directory struct {
	path string
	fd   int // 0 while it is not open, unkept where it is never to be kept open
}

const unkept = -1

// passing is a directory that is read once.
func passing(path string) *directory { return &directory{path: path, fd: unkept} }

func newGroup(path string, unified bool, dirs cgroup.Paths) *group {
	g := &group{path: path, unified: unified, dirs: make(map[string]*directory, len(dirs))}
	for c, dir := range dirs {
		switch c {
		case "", "cpu", "cpuacct", "memory", "blkio", "pids", "hugetlb":
			g.dirs[c] = &directory{path: dir}
		}
	}
	return g
}

// dir is where a v1 controller's files are; v2 has all in one place.
func (g *group) dir(controller string) *directory {
	if g.unified {
		return g.dirs[""]
	}
	return g.dirs[controller]
}

// close lets go of the directories; they are opened again when they are read again.
func (g *group) close(h *handles) {
	g.memoryLimits, g.basics, g.still, g.processes = memoryLimits{}, basics{}, still{}, processes{}
	g.ran, g.moved, g.calm = time.Time{}, time.Time{}, [stalls]calm{}
	for _, d := range g.dirs {
		if d.fd > 0 {
			_ = unix.Close(d.fd)
			d.fd = 0
			h.open.Add(-1)
		}
	}
}

// opened tells whether the group has descriptors that may be those of a cgroup which
// was replaced by another one at the same path.
func (g *group) opened() bool {
	for _, d := range g.dirs {
		if d.fd > 0 {
			return true
		}
	}
	return false
}

// handles counts the directories that are open.
type handles struct {
	open atomic.Int64
	max  int64
}

// newHandles allows at most a quarter of the descriptors that this process may have.
func newHandles() *handles {
	h := &handles{max: maxHandles}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err == nil {
		h.max = min(h.max, int64(min(limit.Cur/4, maxHandles)))
	}
	return h
}

// get gives the descriptor to open the directory's files at, 0 when there is none; the
// caller then goes by the path.
func (h *handles) get(d *directory) int {
	if d.fd != 0 || h == nil {
		return max(d.fd, 0)
	}
	if h.open.Add(1) > h.max {
		h.open.Add(-1)
		return 0
	}
	fd, err := unix.Open(d.path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		h.open.Add(-1)
		return 0
	}
	d.fd = fd
	return fd
}
